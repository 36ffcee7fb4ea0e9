"""What a restart did to each port, or would do."""

from __future__ import annotations

from typing import Any

from .actions import plan_lines
from .format import cell, printable
from .ports import error_message, load_result
from .style import Style


def restart_result(result: dict[str, Any], style: Style) -> str:
    """The lines of each port. The failure of an only port is the error of the command."""
    alone = len(result["ports"]) == 1
    ports = (row for row in result["ports"] if row["ok"] or not alone)
    return "\n".join(line for row in ports for line in _lines(row, style))


def _lines(row: dict[str, Any], style: Style) -> list[str]:
    if not row["ok"]:
        why = printable(error_message(row.get("error")))
        return [f"{cell(row['port'])} {style.wrong('not restarted')}: {why}"]
    changes = [f"  changed flag: {printable(change)}" for change in row.get("flags") or []]
    if row.get("actions"):
        return [*plan_lines(row["actions"]), *changes]
    began = "" if row.get("previous_pid") else " (it was not running)"
    return [load_result(row, style) + began, *changes]


def servers_to_restart(result: dict[str, Any], style: Style) -> str:
    """The servers that would be restarted or started, and the ports that cannot be."""
    return "\n".join(line for row in result["ports"] for line in _preview(row, style))


def _preview(row: dict[str, Any], style: Style) -> list[str]:
    if not row["ok"]:
        return _lines(row, style)
    pid = row.get("previous_pid")
    now = f"pid {printable(pid)}" if pid else "not running"
    changes = [f"        changed flag: {printable(change)}" for change in row.get("flags") or []]
    return [f"  {cell(row['port'])}  {cell(row.get('entry'))} ({now})", *changes]


def restart_question(serving: list[dict[str, Any]]) -> str:
    """The question asked before servers are restarted."""
    first = serving[0]
    if len(serving) == 1:
        return f"Restart {cell(first.get('entry'))} on {cell(first['port'])}?"
    return f"Restart these {len(serving)} servers?"
