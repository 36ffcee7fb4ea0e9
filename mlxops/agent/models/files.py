"""The files of one model folder: which a server needs, and their format.

Their content is untrusted: reads are bounded, names are checked, JSON may be anything."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ..untrusted import is_safe_relative_path, parse_object, read_bounded

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_CONFIG_BYTES = 8 << 20
# safetensors refuses headers over 100 MB; real ones stay under 2 MB.
_HEADER_LIMIT = 16 << 20
_MAX_HEADER_BYTES = 100 << 20
# Files that transformers parses to make the tokenizer.
_OBJECTS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_OBJECT_LIMIT = 256 << 20
# Parsed at every check; a larger file is parsed only by a load.
_SMALL = 1 << 20
_START_BYTES = 4096
_POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` there"),
    (b"/annex/objects/", "a git-annex pointer: run `git annex get` there"),
)

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


def find_damage(path: str, deep: bool) -> str:
    """What is wrong with the content of an existing file; "" if nothing is."""
    try:
        was = os.stat(path)
    except OSError as exc:
        return "cannot be read: %s" % exc.strerror
    return _damage_of(path, was.st_size, was.st_mtime_ns, deep)


@lru_cache(maxsize=4096)
def _damage_of(path: str, size: int, changed: int, deep: bool) -> str:
    """Checked once per file and command, unless size or mtime change."""
    start = read_bounded(path, _START_BYTES)
    if start is None:
        return "cannot be read: check its owner and mode"
    pointer = next((what for mark, what in _POINTERS if start.startswith(mark)), "")
    if pointer:
        return pointer
    leaf = os.path.basename(path)
    if leaf.endswith(".safetensors"):
        return _truncated(path, size, start)
    return _broken(path, size, start, deep) if leaf in _OBJECTS else ""


def _truncated(path: str, size: int, start: bytes) -> str:
    """Whether a safetensors file is truncated. Layout: 8 bytes little-endian length, that many
    bytes of JSON, then the tensors at the offsets in the JSON."""
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= _MAX_HEADER_BYTES or size < 8:
        return "not a safetensors file"
    if size < 8 + length:
        return "truncated at %d bytes, inside its header" % size
    if length > _HEADER_LIMIT:
        return ""
    header = parse_object((read_bounded(path, 8 + length) or b"")[8:])
    if not header:
        return "not a safetensors file: its header is not JSON"
    end = _end(header)
    if end is None:
        return "not a safetensors file: its header gives no offsets"
    return "truncated: %d of %d bytes" % (size, 8 + length + end) if size < 8 + length + end else ""


def _end(header: Mapping[str, object]) -> Optional[int]:
    """Bytes of all tensors; None if one of them has no offsets."""
    ends: List[int] = [0]
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        place = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if (
            not isinstance(place, list)
            or len(place) != 2
            or any(type(n) is not int or n < 0 for n in place)
        ):
            return None
        ends.append(place[1])
    return max(ends)


def _broken(path: str, size: int, start: bytes, deep: bool) -> str:
    if not size:
        return "empty"
    if not start.strip(b"\0"):
        return "filled with zeros"
    if start.lstrip()[:1] == b"<":
        return "an HTML or XML page"
    if start.lstrip()[:1] != b"{":
        return "not a JSON object"
    if size > _OBJECT_LIMIT or (size > _SMALL and not deep):
        return "" if _last(path, size) == b"}" else "truncated: it does not end as JSON does"
    try:
        json.loads(read_bounded(path, _OBJECT_LIMIT) or b"")
    except (ValueError, RecursionError) as exc:
        return "not JSON: %s" % exc
    return ""


def _last(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, size - _START_BYTES))
            return file.read(_START_BYTES).rstrip()[-1:]
    except OSError:
        return b""
