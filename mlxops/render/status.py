"""What every port does, at one glance, and what to do where it is not what the registry says."""

from __future__ import annotations

from typing import Any

from .drift import paragraphs
from .style import Style
from .table import table
from .words import latency, size, span, word

_COLUMNS = ("PORT>", "SLOT", "ENTRY", "STATE", "DRIFT", "SERVED", "MEMORY>", "UPTIME>", "LATENCY>")


def status(result: dict[str, Any], style: Style) -> str:
    """The table of ports, a line about memory, and two lines per drift."""
    rows = [_row(port, style) for port in result["ports"]]
    return "\n".join([table(_COLUMNS, rows), "", memory(result.get("memory")), *paragraphs(result.get("drift"), style)])


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
