"""The model cache: the table of its content, what was removed, what was downloaded."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .actions import action_lines, plan_lines
from .format import cell, counted, file_size, printable
from .style import Style
from .table import Column, Listing, Row, table

_SHORT_REVISION = 8
_HOW_TO_FREE = "To remove a model that is registered: mlxops remove ENTRY --files"


def _state(item: Row, style: Style) -> str:
    return style.faint(item["state"]) if item["removable"] else cell(item["state"])


COLUMNS = (
    Column(name="REPO", text=lambda i, _: cell(i["repo_id"]), keep=True, shorten=20),
    Column(name="REVISION", text=lambda i, _: cell(i["revision"][:_SHORT_REVISION]), weight=1),
    Column(
        name="SIZE",
        text=lambda i, _: file_size(i["size_bytes"]),
        key=itemgetter("size_bytes"),
        keep=True,
        right=True,
        largest=True,
    ),
    Column(name="STATE", text=_state, keep=True),
    Column(name="WHY", text=lambda i, _: printable(i["reason"]), weight=2, shorten=16, prose=True),
)
LISTING = Listing("items", COLUMNS, itemgetter("repo_id"))


def disk_table(result: dict[str, Any], style: Style) -> str:
    """One row per snapshot and per file of none, the largest first; then totals, and the command
    that frees space."""
    lines = [table(COLUMNS, result["items"], style)] if result["items"] else []
    return "\n".join([*lines, *_totals(result, style)])


def _totals(result: dict[str, Any], style: Style) -> list[str]:
    held = f"{counted(len(result['items']), 'item')}, {file_size(result['total_bytes'])}"
    lines = ["", f"cache: {held}"]
    for disk in result["disks"]:
        free, total = file_size(disk["free_bytes"]), file_size(disk["total_bytes"])
        lines.append(f"disk of {printable(disk['path'])}: {free} of {total} free")
    if result["prunable_bytes"]:
        freed = file_size(result["prunable_bytes"])
        lines.append(f"unused: {freed}; remove it: mlxops disk --prune")
    elif any(item["state"] == "registered" for item in result["items"]):
        lines.append(f"unused: nothing. {_HOW_TO_FREE}")
    return lines


def prune_question(result: dict[str, Any]) -> str:
    count = sum(item["removable"] for item in result["items"])
    return f"Remove {counted(count, 'item')} and free {file_size(result['prunable_bytes'])}?"


def prune_result(result: dict[str, Any], style: Style) -> str:
    """One line per item, then the bytes that were freed."""
    lines = [_pruned_line(one) for one in result["pruned"]]
    if not lines:
        return style.idle(f"Nothing is unused. {_HOW_TO_FREE}")
    free = ", ".join(file_size(disk["free_bytes"]) for disk in result["disks"])
    return "\n".join([*lines, f"{file_size(result['freed_bytes'])} freed; {free} free"])


def _pruned_line(one: dict[str, Any]) -> str:
    revision = one["revision"][:_SHORT_REVISION]
    name = printable(f"{one['repo_id']} {revision}".strip() if revision else one["path"])
    return f"not removed {name}: {printable(one['error'])}" if one["error"] else f"removed {name}"


def pull_result(result: dict[str, Any], style: Style) -> str:
    """One line per step: downloaded, added, updated, or kept as it is."""
    lines = []
    for one in result["models"]:
        steps = [step for step in one["actions"] if not style.quiet or step["action"] != "keep"]
        lines += action_lines(steps) if one["path"] else plan_lines(steps)
    return "\n".join(lines)
