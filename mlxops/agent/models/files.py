"""The files of one model folder: which a server needs, and their format.

Their content is untrusted: reads are bounded, names are checked, JSON may be anything."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator

from ..untrusted import is_safe_relative_path, parse_object, read_bounded

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_CONFIG_BYTES = 8 << 20
# safetensors itself refuses headers over 100 MB; real ones stay under 2 MB.
_HEADER_LIMIT = 16 << 20

_NEEDED_SUFFIXES = (".json", ".jsonl", ".jinja", ".py", ".txt", ".tiktoken", ".model")


def is_needed_file(name: str) -> bool:
    """Whether a server needs this file of a repository: weights, configuration, tokenizer, template
    or model code."""
    folder, _, leaf = name.rpartition("/")
    if (
        not is_safe_relative_path(name)
        or leaf.startswith(".")
        or folder in ("original", "onnx", "metal")
    ):
        return False
    # Mistral repositories contain the weights twice, the second time as consolidated*.safetensors.
    return leaf.endswith(_NEEDED_SUFFIXES) or (
        leaf.endswith(".safetensors") and not leaf.startswith("consolidated")
    )


def config(path: str) -> Dict[str, Any]:
    """The config.json of a model folder; {} if it is missing, unreadable or not an object."""
    return parse_object(read_bounded(os.path.join(path, "config.json"), MAX_CONFIG_BYTES))


def header_metadata(path: str) -> Dict[str, Any]:
    """`__metadata__` of a safetensors file, from its header; {} if there is none.

    Layout: 8 bytes little-endian length, then that many bytes of JSON
    (huggingface.co/docs/safetensors)."""
    start = read_bounded(path, 8) or b""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= _HEADER_LIMIT:
        return {}
    metadata = parse_object((read_bounded(path, 8 + length) or b"")[8:]).get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _weights_present(path: str) -> Iterator[str]:
    """Weights with content. Those that mlx-lm reads come first: others may have another format."""
    names = sorted(
        n for n in os.listdir(path) if n.endswith(".safetensors") and is_safe_relative_path(n)
    )
    for name in sorted(names, key=lambda n: not n.startswith("model")):
        place = os.path.join(path, name)
        if os.path.isfile(place) and os.path.getsize(place):
            yield place


def format_of(path: str) -> str:
    """ "mlx", "gguf" or "other"; OSError if the folder cannot be listed."""
    if isinstance(config(path).get("quantization"), dict):
        return "mlx"
    first = next(_weights_present(path), None)
    if first is None:
        return "gguf" if any(name.endswith(".gguf") for name in os.listdir(path)) else "other"
    return "mlx" if header_metadata(first).get("format") == "mlx" else "other"
