"""What apply did: a line per port that was changed or should have been, and the sum."""

from __future__ import annotations

from typing import Any

from .format import cell, counted, duration, printable
from .plan import is_due
from .ports import error_message
from .style import Style
from .width import shorten

Row = dict[str, Any]
# The rest of the longest line about a swap.
_AROUND_MODELS = 48
_MIN_MODEL = 12
DONE, FAILED, UNDONE, NOT_BEGUN, BLOCKED, AS_BEFORE = (
    "done",
    "failed",
    "undone",
    "not begun",
    "blocked",
    "as before",
)


def apply_text(result: dict[str, Any], style: Style) -> str:
    """The lines of the ports and the sum."""
    return "\n".join([*_lines(result["rows"], style), summary(result["rows"])])


def quiet_apply_text(result: dict[str, Any], style: Style) -> str:
    """The lines of the ports; empty if nothing changed or failed."""
    return "\n".join(_lines(result["rows"], style))


def outcome(row: Row) -> str:
    """How a port ended: one of the constants above."""
    if row["verdict"] == "blocked":
        return BLOCKED
    if row.get("ok"):
        return DONE if row.get("changed") else AS_BEFORE
    if not is_due(row):
        return AS_BEFORE
    error = row.get("error") or {"begun": False}
    if error.get("begun") is False:
        return NOT_BEGUN
    return UNDONE if error.get("kind") == "Interrupted" else FAILED


def _lines(rows: list[Row], style: Style) -> list[str]:
    return [line for row in rows for line in _row_lines(row, outcome(row), style)]


def _row_lines(row: Row, how: str, style: Style) -> list[str]:
    port, error = cell(row["port"]), row.get("error") or {}
    if how == AS_BEFORE:
        return []
    if how == DONE:
        return [f"{port} {_done(row, style)}{_took(row)}"]
    if how == NOT_BEGUN:  # the message begins with these words
        return [f"{port} {printable(error_message(error) if error else how)}"]
    why = printable(error_message(error) if error else row.get("reason") or "")
    hint = error.get("hint") or row.get("hint")
    shown = style.wrong(how) if how in (FAILED, BLOCKED) else how
    return [
        f"{port} {shown}: {why}",
        *([f"  hint: {printable(hint)}"] if hint and how != UNDONE else []),
    ]


def _done(row: Row, style: Style) -> str:
    """What the port serves now. A terminal gets long names shortened, so that a port is a line."""
    entry, before = cell(row.get("entry") or row.get("declared")), cell(row.get("live"))
    is_swap = row.get("live") is not None and row["live"] != row.get("entry")
    if style.width is not None:
        room = max(_MIN_MODEL, (style.width - _AROUND_MODELS) // (2 if is_swap else 1))
        entry, before = shorten(entry, room), shorten(before, room)
    if row["verdict"] == "unload":
        return f"is free: {before if row.get('live') else entry} was unloaded"
    instead = f", instead of {before}" if is_swap else ""
    return f"serves {entry}{instead}: {'restarted, ' if row['verdict'] == 'restart' else ''}ready"


def _took(row: Row) -> str:
    seconds = row.get("duration_s")
    if seconds is None:
        return ""
    return f" {'in' if row['verdict'] == 'unload' else 'after'} {duration(seconds)}"


def summary(rows: list[Row]) -> str:
    """3 ports changed, 1 failed, 1 not begun; 5 as before"""
    counts = {how: 0 for how in (DONE, FAILED, UNDONE, NOT_BEGUN, BLOCKED, AS_BEFORE)}
    for row in rows:
        counts[outcome(row)] += 1
    wrong = [f"{counts[how]} {how}" for how in (FAILED, UNDONE, NOT_BEGUN, BLOCKED) if counts[how]]
    if not counts[DONE] and not wrong:
        return "Nothing to do: every port is as planned."
    same = f"; {counts[AS_BEFORE]} as before" if counts[AS_BEFORE] else ""
    return ", ".join([f"{counted(counts[DONE], 'port')} changed", *wrong]) + same
