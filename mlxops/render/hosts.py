"""The host files."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .format import cell, printable
from .style import Style
from .table import Column, Listing, table

COLUMNS = (
    Column(name="CURRENT", text=lambda h, _: "*" if h["chosen"] else "", weight=3),
    Column(name="HOST", text=lambda h, _: cell(h["name"]), keep=True, shorten=20),
    Column(name="TRANSPORT", text=lambda h, _: cell(h["transport"]), weight=1),
    Column(name="TARGET", text=lambda h, _: cell(h["target"]), weight=2, shorten=20),
    Column(name="PORTS", text=lambda h, _: port_ranges(h["ports"]), weight=3, shorten=20),
)
LISTING = Listing("hosts", COLUMNS, itemgetter("name"))


def host_table(result: dict[str, Any], style: Style) -> str:
    """One row per host, a star before the one in use; below them the files, and which of them are
    broken, hidden or ignored."""
    return "\n".join([table(COLUMNS, result["hosts"], style), *_remarks(result, style)])


def _remarks(result: dict[str, Any], style: Style) -> list[str]:
    files = [
        f"{printable(host['name'])}: {printable(host['path'])}{_why(host)}"
        for host in result["hosts"]
    ]
    wrong = [
        line
        for host in result["hosts"]
        if host["error"]
        for line in (
            f"{style.wrong('broken')}: {printable(host['error'])}",
            f"  next: {printable(host['hint'])}",
        )
    ]
    hidden = [
        f"hidden: {printable(one['path'])} (by {printable(one['by'])})"
        for one in result["shadowed"]
    ]
    unused = [
        f"ignored: ./{printable(path)} (host files are not read from the current folder)"
        for path in result["unused"]
    ]
    note = [f"note: {printable(result['note'])}"] if result["note"] else []
    return [*files, *wrong, *hidden, *unused, *note]


def _why(host: dict[str, Any]) -> str:
    """For the file in use: what chose it, and what named its folder."""
    named = (
        f", from {printable(host['source'])}" if host["source"].startswith(("-", "MLXOPS")) else ""
    )
    return f" (in use: {printable(host['chosen_by'])}{named})" if host["chosen"] else ""


def port_ranges(ports: list[int] | None) -> str:
    """Ascending ports with consecutive ones joined: 8100-8109, 9000."""
    joined: list[list[int]] = []
    for port in ports or []:
        if joined and joined[-1][-1] == port - 1:
            joined[-1][1:] = [port]
        else:
            joined.append([port])
    return ", ".join("-".join(map(str, ends)) for ends in joined) or cell(None)
