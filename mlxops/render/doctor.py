"""What doctor found: a table of all checks, and the command that mends each that is not as it
should be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .format import cell, printable
from .style import Style
from .table import table

_COLUMNS = ("SIDE", "CHECK", "VERDICT", "SEEN")


def all_checks(result: dict[str, Any], style: Style) -> str:
    """All rows, what was mended, and a line that counts the verdicts."""
    counts = Counter(row["verdict"] for row in result["checks"])
    summary = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in ("ok", "warning", "wrong", "unknown")
    )
    return "\n".join(
        [*_rows(result["checks"], style), *map(_action, result["actions"]), "", summary]
    )


def failing_checks(result: dict[str, Any], style: Style) -> str:
    """As `examined`, without the rows that are ok; empty when there is nothing else."""
    rows = [row for row in result["checks"] if row["verdict"] != "ok"]
    return "\n".join([*(_rows(rows, style) if rows else []), *map(_action, result["actions"])])


def _rows(rows: list[dict[str, Any]], style: Style) -> list[str]:
    lines = table(_COLUMNS, [_cells(row, style) for row in rows]).splitlines()
    mends = {
        row["mend"]: row["check"]
        for row in reversed(rows)
        if row.get("mend") and row["verdict"] != "ok"
    }
    return [
        *lines,
        *(
            f"next ({printable(check)}): {printable(mend)}"
            for mend, check in reversed(mends.items())
        ),
    ]


def _cells(row: dict[str, Any], style: Style) -> list[str]:
    return [
        cell(row["side"]),
        cell(row["check"]),
        style.verdict(cell(row["verdict"])),
        cell(row["seen"]),
    ]


def _action(action: dict[str, Any]) -> str:
    what = f"{cell(action['action'])} {cell(action['path'])}: {printable(action['reason'])}"
    if action.get("error"):
        return f"{what} (failed: {printable(action['error'])})"
    return f"done: {what}" if action["applied"] else f"{what} (not done)"
