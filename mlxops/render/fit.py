"""The memory that a model needs and the memory there is, line by line."""

from __future__ import annotations

from typing import Any

from .format import DASH, cell, printable, size
from .style import Style


def fit(result: dict[str, Any], style: Style) -> str:
    """The memory needed, the memory available, and whether the model fits."""
    hub = result.get("source") == "hub"
    source = "from the Hub; not downloaded" if hub else "from the files on disk"
    return "\n".join([f"{cell(result.get('entry'))} ({source})", *memory_lines(result, style)])


def memory_lines(memory: dict[str, Any], style: Style) -> list[str]:
    """The lines of `fit` and of a dry run of `load`."""
    parts = [("weights", memory.get("weights_bytes"), ""), _context(memory), _overhead(memory)]
    if memory.get("second_bytes"):
        draft = "weights and KV cache of the draft model in its args"
        parts.append(("second model", memory["second_bytes"], draft))
    rows = [*parts, ("needed", memory.get("need_bytes"), ""), *_machine(memory)]
    return [*(_line(*row) for row in rows), *_verdict(memory, style)]


def _line(name: str, count: Any, why: str) -> str:
    return f"  {name:<12} {_size(count):>10}" + (f"  {why}" if why else "")


def _size(count: Any) -> str:
    return size(count) if isinstance(count, int) else DASH


def _context(memory: dict[str, Any]) -> tuple[str, Any, str]:
    tokens, why = memory.get("context_tokens"), printable(memory.get("context_why") or "")
    if tokens is None:
        return "KV cache", None, "unknown: its config.json lacks the attention sizes"
    return "KV cache", memory.get("kv_bytes"), f"{tokens} tokens: {why}"


def _overhead(memory: dict[str, Any]) -> tuple[str, Any, str]:
    known = memory.get("kv_bytes") is not None
    why = (
        "server process and prompt processing" if known else "estimate: 10 % of the weights + 1 GiB"
    )
    return "overhead", memory.get("overhead_bytes"), why


def _machine(memory: dict[str, Any]) -> list[tuple[str, Any, str]]:
    bytes_by_port = memory.get("held_bytes") or {}
    servers, loading = _by_port(bytes_by_port), _by_port(memory.get("promised_bytes") or {})
    rows = [("free now", memory.get("free_bytes"), f"of {_size(memory.get('total_bytes'))}")]
    if memory.get("wired_limit_bytes") is not None:
        rows.append(("wired limit", memory.get("wired_limit_bytes"), ""))
    if servers:
        used = sum(count for count in bytes_by_port.values() if isinstance(count, int))
        rows.append(("in use", used, f"by servers on {servers}"))
    if loading:
        rows.append(("reserved", None, f"by loads on {loading}"))
    return [*rows, ("available", memory.get("available_bytes"), "")]


def _by_port(sizes: dict[str, Any]) -> str:
    return ", ".join(f"{printable(port)}: {_size(count)}" for port, count in sorted(sizes.items()))


def _verdict(memory: dict[str, Any], style: Style) -> list[str]:
    longest, own = memory.get("largest_context_tokens"), memory.get("model_context_tokens")
    limit = f" (model limit {own})" if own else ""
    lines = [f"  longest context that fits: {longest} tokens{limit}"] if longest else []
    if memory.get("fits"):
        return [*lines, style.verdict("fits")]
    ports = " ".join(cell(port) for port in memory.get("unload") or [])
    after = f"; it would fit after unloading {ports}" if ports else ""
    return [*lines, style.wrong("does not fit") + after]
