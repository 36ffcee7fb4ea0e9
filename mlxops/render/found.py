"""The host files that were found."""

from __future__ import annotations

from typing import Any

from .style import Style
from .table import table
from .words import safe, word

_COLUMNS = ("", "HOST", "TRANSPORT", "TARGET", "PORTS", "FILE")


def hosts_found(result: dict[str, Any], style: Style) -> str:
    """One row per host, a star before the one that is meant, and the errors of broken files below."""
    rows = [_row(host) for host in result["hosts"]]
    wrong = [f"{style.wrong('broken')}: {safe(host['error'])}" for host in result["hosts"] if host["error"]]
    return "\n".join([table(_COLUMNS, rows), *wrong, *([f"note: {safe(result['note'])}"] if result["note"] else [])])


def _row(host: dict[str, Any]) -> list[str]:
    cells = [word(host[key]) for key in ("name", "transport", "target")]
    return ["*" if host["chosen"] else "", *cells, spans(host["ports"]), word(host["path"])]


def spans(ports: list[int] | None) -> str:
    """Ascending ports with neighbours joined: 8100-8109, 9000."""
    joined: list[list[int]] = []
    for port in ports or []:
        if joined and joined[-1][-1] == port - 1:
            joined[-1][1:] = [port]
        else:
            joined.append([port])
    return ", ".join("-".join(map(str, ends)) for ends in joined) or word(None)
