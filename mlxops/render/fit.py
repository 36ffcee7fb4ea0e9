"""The memory that a model needs and the memory there is, line by line."""

from __future__ import annotations

from typing import Any

from .format import DASH, cell, counted, printable, size
from .style import Style
from .width import shorten, width, wrapped

SERVERS = "in use"
MIN_SERVER_WIDTH = 20


def fit(result: dict[str, Any], style: Style) -> str:
    """The memory needed, the memory available, and whether the model fits."""
    hub = result.get("source") == "hub"
    source = "from the Hub; not downloaded" if hub else "from the files on disk"
    return "\n".join([f"{cell(result.get('entry'))} ({source})", *memory_lines(result, style)])


def memory_lines(memory: dict[str, Any], style: Style) -> list[str]:
    """The lines of `fit` and of a dry run of `load`."""
    rows = [
        ("weights", memory.get("weights_bytes"), ""),
        *_context(memory),
        *_kept(memory),
        _overhead(memory),
        *_beside(memory),
        ("needed", memory.get("need_bytes"), ""),
        *_machine(memory),
    ]
    lines = [line for row in rows for line in _lines(*row, style.width)]
    return [*lines, *_verdict(memory, style)]


def _lines(name: str, count: Any, why: str, room: int | None) -> list[str]:
    """The line of a figure. On a narrow terminal a list has a line for each of its parts."""
    figure = f"  {name:<12} {_size(count) if name else '':>10}"
    line = f"{figure}  {why}" if why else figure
    if room is None or width(line) <= room:
        return [line]
    indent = " " * (width(figure) + 2)
    first, *more = why.split(", ")
    if not more or name != SERVERS:
        return wrapped(line, room, indent)
    left = max(MIN_SERVER_WIDTH, room - len(indent))
    return [
        f"{figure}  {shorten(first, left)}",
        *(f"{indent}{shorten(part, left)}" for part in more),
    ]


def _size(count: Any) -> str:
    return size(count) if isinstance(count, int) else DASH


def _context(memory: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """The KV cache, where its size comes from, and when it is more."""
    tokens, why = memory.get("context_tokens"), printable(memory.get("context_why") or "")
    source = printable(memory.get("kv_source") or "")
    if tokens is None:
        unknown = "unknown: its config.json lacks the attention sizes"
        return [("KV cache", None, unknown), *_note(source.rpartition(": ")[2])]
    rows = [("KV cache", memory.get("kv_bytes"), f"{tokens} tokens: {why}"), *_note(source)]
    requests, prompts = memory.get("max_requests") or 1, memory.get("max_kept_prompts") or 0
    more = [f"further requests (up to {requests})"] if requests > 1 else []
    if prompts and not memory.get("kept_bytes"):
        more.append(f"kept prompts (up to {prompts})")
    return [*rows, *_note(more and f"not counted: {' and '.join(more)}")]


def _note(text: Any) -> list[tuple[str, Any, str]]:
    return [("", None, text)] if text else []


def _kept(memory: dict[str, Any]) -> list[tuple[str, Any, str]]:
    kept = memory.get("kept_bytes")
    return [("prompt cache", kept, "--prompt-cache-bytes of the entry")] if kept else []


def _beside(memory: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """A line for each draft model or adapter in the args, and where its KV cache comes from if not
    from where the model's does."""
    rows = []
    for one in memory.get("second_models") or []:
        name, source = printable(one.get("name") or ""), printable(one.get("kv_source") or "")
        sizes = f"weights {_size(one.get('weights_bytes'))}, KV cache {_size(one.get('kv_bytes'))}"
        kind, why = ("draft model", f"{name}: {sizes}") if source else ("adapter", name)
        rows += [(kind, one.get("bytes"), why)]
        rows += _note(source != memory.get("kv_source") and source)
    return rows


def _overhead(memory: dict[str, Any]) -> tuple[str, Any, str]:
    known = memory.get("kv_bytes") is not None
    why = (
        "server process and prompt processing" if known else "estimate: 10 % of the weights + 1 GiB"
    )
    return "overhead", memory.get("overhead_bytes"), why


def _machine(memory: dict[str, Any]) -> list[tuple[str, Any, str]]:
    bytes_by_port, names = memory.get("held_bytes") or {}, memory.get("names") or {}
    servers = _by_port(bytes_by_port, names)
    reserved = sorted((memory.get("promised_bytes") or {}).items())
    loading = ", ".join(f"{_server(port, names)} {_size(count)}" for port, count in reserved)
    rows = [("free now", memory.get("free_bytes"), f"of {_size(memory.get('total_bytes'))}")]
    if memory.get("wired_limit_bytes") is not None:
        rows.append(("wired limit", memory.get("wired_limit_bytes"), ""))
    if servers:
        used = sum(count for count in bytes_by_port.values() if isinstance(count, int))
        rows.append((SERVERS, used, servers))
    if loading:
        rows.append(("reserved", None, f"by loads on {loading}"))
    own = memory.get("port")
    emptied = own is not None and str(own) in map(str, bytes_by_port)
    after = f"after unloading {_server(own, names)}" if emptied else ""
    return [*rows, ("available", memory.get("available_bytes"), after)]


def _by_port(sizes: dict[str, Any], names: dict[str, Any]) -> str:
    """The servers with models of the registry, then those of other programs as one."""
    known = {port: count for port, count in sizes.items() if names.get(str(port))}
    others = [count for port, count in sizes.items() if port not in known]
    parts = [f"{_server(port, names)} {_size(count)}" for port, count in sorted(known.items())]
    used = sum(count for count in others if isinstance(count, int))
    parts += [f"{counted(len(others), 'other server')} {size(used)}"] if others else []
    return ", ".join(parts)


def _server(port: Any, names: dict[str, Any]) -> str:
    """A port with the model there: 8103 (jerry-s)."""
    name = names.get(str(port))
    return f"{printable(port)} ({printable(name)})" if name else printable(port)


def _verdict(memory: dict[str, Any], style: Style) -> list[str]:
    longest, own = memory.get("largest_context_tokens"), memory.get("model_context_tokens")
    limit = f" (model limit {own})" if own else ""
    lines = [f"  longest context that fits: {longest} tokens{limit}"] if longest else []
    if memory.get("fits"):
        return [*lines, style.verdict("fits")]
    names = memory.get("names") or {}
    ports = " and ".join(_server(port, names) for port in memory.get("unload") or [])
    after = f"; it would fit after unloading {ports}" if ports else ""
    return [*lines, style.wrong("does not fit") + after]
