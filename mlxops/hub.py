"""The Hugging Face Hub as the client sees it: a search for MLX models, each with its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .agent.errors import NotDownloadable

# Bytes per element of a safetensors type (huggingface.co/docs/safetensors). Quantized MLX weights are packed in U32.
_WIDTHS: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}


def weights_bytes(parameters: Mapping[str, int]) -> int | None:
    """Bytes of weights with so many elements per type; None when there are none, or a type's width is not known."""
    if not parameters or not parameters.keys() <= _WIDTHS.keys():
        return None
    return sum(_WIDTHS[dtype] * count for dtype, count in parameters.items())


def _row(model: Any) -> dict[str, Any]:
    weights = weights_bytes(model.safetensors.parameters) if model.safetensors else None
    return {
        "repo_id": model.id,
        # Where the Hub has not counted the weights: all revisions together, which is at least one of them.
        "size_bytes": weights or model.used_storage,
        "downloads": model.downloads,
        "gated": bool(model.gated),
        "modified": model.last_modified.isoformat() if model.last_modified else None,
    }


def search(words: str, limit: int = 20, endpoint: str | None = None) -> list[dict[str, Any]]:
    """MLX repositories that match these words, most downloaded first.

    Rows of {repo_id, size_bytes (None: unknown), downloads, gated, modified (ISO 8601)}. Asks the Hub at
    `endpoint`, else the one HF_ENDPOINT names, with this machine's login. NotDownloadable when it cannot be asked.
    """
    import logging

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    # The HTTP library changed between versions; its own base error is always a base of this one.
    failures: tuple[type[Exception], ...] = (OSError, *cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__))
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell every retry on stderr
    try:
        found = HfApi(endpoint=endpoint, library_name="mlxops").list_models(
            search=words, filter="mlx", sort="downloads", limit=limit,
            expand=["downloads", "gated", "lastModified", "safetensors", "usedStorage"],
        )  # fmt: skip
        return [_row(model) for model in found]
    except failures as exc:
        raise NotDownloadable(f"the Hub cannot be searched: {exc}", "check the network, or HF_ENDPOINT") from exc
