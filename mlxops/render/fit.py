"""What a model takes of memory and what there is, line by line."""

from __future__ import annotations

from typing import Any

from .format import DASH, cell, printable, size
from .style import Style


def fit(result: dict[str, Any], style: Style) -> str:
    """The sum, the memory it is held against, and the verdict."""
    where = (
        "before any download, by the Hub's figures"
        if result.get("source") == "hub"
        else "by the files on disk"
    )
    return "\n".join([f"{cell(result.get('entry'))}, {where}", *memory_lines(result, style)])


def memory_lines(memory: dict[str, Any], style: Style) -> list[str]:
    """As `fit` and a dry run of `load` show it."""
    parts = [("weights", memory.get("weights_bytes"), ""), _context(memory), _overhead(memory)]
    if memory.get("second_bytes"):
        parts.append(
            (
                "second model",
                memory["second_bytes"],
                "weights and KV cache of the draft model in its args",
            )
        )
    rows = [*parts, ("needed", memory.get("need_bytes"), ""), *_machine(memory)]
    return [*(_line(*row) for row in rows), *_verdict(memory, style)]


def _line(name: str, count: Any, why: str) -> str:
    return f"  {name:<12} {_size(count):>10}" + (f"  {why}" if why else "")


def _size(count: Any) -> str:
    return size(count) if isinstance(count, int) else DASH


def _context(memory: dict[str, Any]) -> tuple[str, Any, str]:
    tokens, why = memory.get("context_tokens"), printable(memory.get("context_why") or "")
    if tokens is None:
        return "KV cache", None, "its config.json does not say what a context takes"
    return "KV cache", memory.get("kv_bytes"), f"{tokens} tokens: {why}"


def _overhead(memory: dict[str, Any]) -> tuple[str, Any, str]:
    guessed = "a tenth of the weights and 1 GiB, in place of a sum"
    known = memory.get("kv_bytes") is not None
    return (
        "overhead",
        memory.get("overhead_bytes"),
        "the server, and a prompt being read" if known else guessed,
    )


def _machine(memory: dict[str, Any]) -> list[tuple[str, Any, str]]:
    held = memory.get("held_bytes") or {}
    servers, loading = _by_port(held), _by_port(memory.get("promised_bytes") or {})
    rows = [("free now", memory.get("free_bytes"), f"of {_size(memory.get('total_bytes'))}")]
    if memory.get("wired_limit_bytes") is not None:
        rows.append(("wired limit", memory.get("wired_limit_bytes"), ""))
    if servers:
        rows.append(("servers hold", sum(c for c in held.values() if isinstance(c, int)), servers))
    if loading:
        rows.append(("being loaded", None, loading))
    return [*rows, ("to be had", memory.get("available_bytes"), "")]


def _by_port(sizes: dict[str, Any]) -> str:
    return ", ".join(f"{printable(port)}: {_size(count)}" for port, count in sorted(sizes.items()))


def _verdict(memory: dict[str, Any], style: Style) -> list[str]:
    longest, own = memory.get("largest_context_tokens"), memory.get("model_context_tokens")
    limit = f" of the {own} the model was made for" if own else ""
    lines = [f"  longest context that fits: {longest} tokens{limit}"] if longest else []
    if memory.get("fits"):
        return [*lines, style.verdict("ok").replace("ok", "fits")]
    ports = " ".join(cell(port) for port in memory.get("unload") or [])
    after = f"; it would, once {ports} {'are' if ' ' in ports else 'is'} unloaded" if ports else ""
    return [*lines, style.wrong("does not fit") + after]
