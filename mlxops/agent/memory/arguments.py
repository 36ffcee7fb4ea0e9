"""What the words in `args` say about memory. Pure."""

from __future__ import annotations

import re
from typing import Iterable, Mapping, NamedTuple, Optional, Sequence

from ..loader.description import CHUNK
from ..wire.values import MAX_CONTEXT

CONTEXT_FLAGS = ("--context-length", "--max-model-len")
# As mlx-lm reads a size (mlx_lm/utils.py, _parse_size).
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([MG]?)B?", re.I)
_UNITS = {"": 1, "M": 10**6, "G": 10**9}


class ServerLimits(NamedTuple):
    """What a server does without such options: tokens before its KV cache is quantized, prompts
    that it keeps in memory, requests at the same time. `bits_alone`: with a quantized cache it
    serves one request at a time; otherwise several at a time share a cache that is not
    quantized."""

    quantized_after: int = 0
    prompts: int = 0
    requests: int = 1
    bits_alone: bool = False


# mlx_lm/server.py; app/handler/mlx_lm.py of mlx-openai-server, which since 1.8 keeps prompts on
# disk.
_LIMITS: Mapping[str, ServerLimits] = {
    "mlx_lm.server": ServerLimits(5000, 10, 32, bits_alone=True),
    "mlx-openai-server": ServerLimits(prompts=10, requests=32),
}


class Settings(NamedTuple):
    """`context_tokens`: the context that they set, None if none; `chunk`: tokens of a prompt that
    are processed at a time; `kv_bits`: of a quantized KV cache, with `kv_group` values per scale,
    after `quantized_after` tokens; `prompts`: the most prompts that are kept in memory,
    `prompts_bytes` at most if set; `requests`: the most at the same time."""

    context_tokens: Optional[int] = None
    chunk: int = CHUNK
    kv_bits: Optional[int] = None
    kv_group: int = 64
    quantized_after: int = 0
    prompts: int = 0
    prompts_bytes: Optional[int] = None
    requests: int = 1


def read_settings(
    runtime: str, args: Sequence[str], options: Optional[Iterable[str]] = None
) -> Settings:
    """The settings of a server. `options`: those that the installed version has."""
    known, values = frozenset(options or ()), _values(args)
    limits = _LIMITS.get(runtime, ServerLimits())
    on_disk = "--prompt-cache-dir" in known
    bits = _count(values, "--kv-bits") if runtime in _LIMITS else None
    alone = (
        "--decode-concurrency" not in known
        or "--disable-batching" in values
        or any(name.startswith("--draft-model") for name in values)
        or (bits is not None and limits.bits_alone)
    )
    kept = _count(values, "--prompt-cache-size", 0)
    requests = _count(values, "--decode-concurrency") or limits.requests
    return Settings(
        context_tokens=next((n for n in (_count(values, f) for f in CONTEXT_FLAGS) if n), None),
        chunk=_count(values, "--prefill-step-size") or CHUNK,
        kv_bits=bits if bits and bits < 16 and alone else None,
        kv_group=_count(values, "--kv-group-size") or 64,
        quantized_after=_or(_count(values, "--quantized-kv-start", 0), limits.quantized_after),
        prompts=0 if on_disk else _or(kept, limits.prompts),
        prompts_bytes=None if on_disk or alone else _size(values.get("--prompt-cache-bytes", "")),
        requests=1 if alone else requests,
    )


def _values(args: Sequence[str]) -> Mapping[str, str]:
    """Option -> its value, of the last one if it is given twice."""
    found = {}
    for word, after in zip(args, [*args[1:], ""]):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            found[name] = value if equals else after
    return found


def _count(values: Mapping[str, str], name: str, least: int = 1) -> Optional[int]:
    text = values.get(name, "")
    number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1
    return number if least <= number <= MAX_CONTEXT else None


def _or(number: Optional[int], usual: int) -> int:
    return usual if number is None else number


def _size(text: str) -> Optional[int]:
    found = _SIZE.fullmatch(text)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else None
