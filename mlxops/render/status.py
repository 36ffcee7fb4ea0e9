"""What every port does, at one glance, and what to do where it is not what the registry says."""

from __future__ import annotations

from typing import Any

from .drift import paragraphs
from .style import Style
from .table import table
from .words import latency, safe, size, span, word

_COLUMNS = ("PORT>", "SLOT", "ENTRY", "STATE", "DRIFT", "SERVED", "MEMORY>", "UPTIME>", "LATENCY>")


def status(result: dict[str, Any], style: Style) -> str:
    """The table of ports, a line about memory, one per port somebody works on or nobody can see, two per drift."""
    rows = [_row(port, style) for port in result["ports"]]
    told = [*map(_why, filter(_unexplained, result["ports"])), *paragraphs(result.get("drift"), style)]
    return "\n".join([table(_COLUMNS, rows, style.width), "", memory(result.get("memory")), *told])


def _unexplained(port: dict[str, Any]) -> bool:
    """Whether there is a reason, such as a download under way, that no drift tells."""
    return bool(port.get("reason")) and not port.get("drift")


def _why(port: dict[str, Any]) -> str:
    return f"{word(port.get('state'))} {word(port['port'])}: {safe(port['reason'])}"


def _row(port: dict[str, Any], style: Style) -> list[str]:
    return [
        word(port["port"]),
        word(port.get("slot_name")),
        word(port.get("entry")),
        style.state(word(port.get("state"))),
        style.wrong(word(port["drift"])) if port.get("drift") else word(None),
        word(port.get("served_model")),
        size(port.get("rss_bytes")),
        span(port.get("uptime_s")),
        latency(port.get("latency_ms")),
    ]


def memory(figures: dict[str, Any] | None) -> str:
    known = figures or {}
    available, total = size(known.get("available_bytes")), size(known.get("total_bytes"))
    return f"memory: {available} of {total} available, wired limit {size(known.get('wired_limit_bytes'))}"
