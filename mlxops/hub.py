"""Search for MLX models on the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .agent.errors import NotDownloadable

if TYPE_CHECKING:
    from .hosts.files import Host

TIMEOUT_S = 5.0
MAX_DETAIL = 100
MAX_TOKEN_BYTES = 4096

# Bytes per element of a safetensors type (huggingface.co/docs/safetensors). Quantized MLX weights
# are packed in U32.
_WIDTHS: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}


class InvalidAnswer(ValueError):
    """JSON of another shape than a list of models."""


def weights_bytes(parameters: Mapping[str, int]) -> int | None:
    """Bytes of weights with so many elements per type; None if empty or of an unknown type."""
    if not parameters or not parameters.keys() <= _WIDTHS.keys():
        return None
    return sum(_WIDTHS[dtype] * count for dtype, count in parameters.items())


def _row(model: Any) -> dict[str, Any]:
    weights = weights_bytes(model.safetensors.parameters) if model.safetensors else None
    return {
        "repo_id": model.id,
        # If the Hub has not counted the weights: the size of all revisions, an upper bound.
        "size_bytes": weights or model.used_storage,
        "downloads": model.downloads,
        "gated": bool(model.gated),
        "modified": model.last_modified.isoformat() if model.last_modified else None,
    }


@dataclass(frozen=True)
class Access:
    """Which Hub, and with which token. None: those of this machine. `token` False: none."""

    endpoint: str | None = None
    token: str | bool | None = None


def access_of(host: Host) -> Access:
    """What a host file says, for this machine: NotDownloadable if that is `offline`.

    This machine's own token goes to its own Hub only; the host's token file is on the host."""
    settings = host.site["hub"]
    if settings["offline"]:
        raise NotDownloadable(
            f"offline is set under [hub] in {host.path}, so nothing is asked of the Hub",
            "remove offline there, or choose another host: --host NAME",
        )
    endpoint, file = settings["endpoint"], settings["token_file"]
    if host.transport == "local" and file:
        return Access(endpoint, _token(file))
    own = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return Access(endpoint, None if endpoint in (None, own) else False)


def _token(file: str) -> str:
    path, token = Path(file).expanduser(), ""
    try:
        # A FIFO would block, and a token is sent in a header.
        if path.exists() and not path.is_file():
            why = "is not a regular file"
        else:
            with path.open("rb") as stream:
                token = stream.read(MAX_TOKEN_BYTES + 1).decode("latin-1").strip()
            plain = len(token) <= MAX_TOKEN_BYTES and token.isascii() and token.isprintable()
            why = "" if plain else "has no token: one line of ASCII"
            why = why if token else "is empty"
    except OSError as exc:
        why = f"cannot be read: {exc.strerror}"
    if why:
        hint = "correct token_file under [hub] in the host file"
        raise NotDownloadable(f"token_file {file} {why}", hint)
    return token


def search(
    words: str, limit: int = 20, endpoint: str | None = None, token: str | bool | None = None
) -> list[dict[str, Any]]:
    """MLX repositories that match these words, most downloaded first.

    Rows of {repo_id, size_bytes (None: unknown), downloads, gated, modified (ISO 8601)}. Queries
    `endpoint`, else $HF_ENDPOINT; `token` as in Access. NotDownloadable if that fails."""
    from huggingface_hub import ModelInfo, constants
    from huggingface_hub.errors import HfHubHTTPError

    # huggingface_hub changed its HTTP library; the base error of either is a base of this one.
    failures: tuple[type[Exception], ...] = (OSError, ValueError)
    failures += cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    try:
        models = _query(words, limit, Access(endpoint, token))
        try:
            return [_row(cast(Any, ModelInfo)(**model)) for model in models]
        except (TypeError, KeyError, AttributeError, ValueError) as exc:
            raise InvalidAnswer from exc
    except failures as exc:
        raise NotDownloadable(
            f"cannot search the Hub at {endpoint or constants.ENDPOINT}: {_reason(exc)}",
            "search runs on this machine: check its network, $HF_ENDPOINT and [hub] endpoint",
        ) from exc


def _reason(exc: Exception) -> str:
    """In a few words: the errors of the HTTP libraries are several lines, or a number."""
    status = getattr(getattr(exc, "response", None), "status_code", None)
    if status is not None:
        return f"it answered with HTTP status {status}"
    if isinstance(exc, InvalidAnswer):
        return "its answer does not list models"
    return (
        "its answer is not JSON"
        if isinstance(exc, json.JSONDecodeError)
        else f"this machine cannot reach it{_detail(exc)}"
    )


def _detail(exc: BaseException) -> str:
    """The innermost cause in parentheses, without its number."""
    while exc.__cause__ or exc.__context__:
        exc = exc.__cause__ or exc.__context__ or exc
    text = re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(exc).split()))
    return f" ({text[:MAX_DETAIL]})" if text else ""


def _query(words: str, limit: int, access: Access) -> list[dict[str, Any]]:
    """Query the Hub once: HfApi.list_models would try six times, for half a minute."""
    from huggingface_hub import constants, utils

    hub: Any = utils  # its type hints do not declare its exports
    fields = ["downloads", "gated", "lastModified", "safetensors", "usedStorage"]
    params = {
        "search": words,
        "filter": "mlx",
        "sort": "downloads",
        "limit": limit,
        "expand": fields,
    }
    answer = hub.get_session().get(
        f"{access.endpoint or constants.ENDPOINT}/api/models",
        params=params,
        timeout=TIMEOUT_S,
        headers=hub.build_hf_headers(token=access.token, library_name="mlxops"),
    )
    hub.hf_raise_for_status(answer)
    rows: list[dict[str, Any]] = answer.json()
    return rows
