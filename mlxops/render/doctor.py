"""The results of doctor: a table of checks, and the next command for each that did not pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .format import cell, counted, printable
from .style import Style
from .table import table

# Verdicts that the table shows by another word.
_RESULTS = {"wrong": "error"}
_COLUMNS = ("SIDE", "CHECK", "RESULT", "DETAILS")


def all_checks(result: dict[str, Any], style: Style) -> str:
    """All checks, what was fixed, and a line with the number of each result."""
    counts = Counter(row["verdict"] for row in result["checks"])
    warnings, errors = (
        counted(counts[v], n) for v, n in (("warning", "warning"), ("wrong", "error"))
    )
    summary = f"{counts['ok']} ok, {warnings}, {errors}, {counts['unknown']} unknown"
    return "\n".join(
        [*_rows(result["checks"], style), *map(_action, result["actions"]), "", summary]
    )


def failing_checks(result: dict[str, Any], style: Style) -> str:
    """As `all_checks`, without the rows that are ok; empty if all are."""
    rows = [row for row in result["checks"] if row["verdict"] != "ok"]
    return "\n".join([*(_rows(rows, style) if rows else []), *map(_action, result["actions"])])


def _rows(rows: list[dict[str, Any]], style: Style) -> list[str]:
    lines = table(_COLUMNS, [_cells(row, style) for row in rows]).splitlines()
    # Each command once, for the first check that names it.
    fixes: dict[str, str] = {}
    for row in rows:
        if row.get("mend") and row["verdict"] != "ok":
            fixes.setdefault(row["mend"], row["check"])
    return [*lines, *(f"next ({printable(fixes[fix])}): {printable(fix)}" for fix in fixes)]


def _cells(row: dict[str, Any], style: Style) -> list[str]:
    return [
        cell(row["side"]),
        cell(row["check"]),
        style.verdict(cell(_RESULTS.get(row["verdict"], row["verdict"]))),
        cell(row["seen"]),
    ]


def _action(action: dict[str, Any]) -> str:
    what = f"{cell(action['action'])} {cell(action['path'])}: {printable(action['reason'])}"
    if action.get("error"):
        return f"failed: {what}: {printable(action['error'])}"
    return f"done: {what}" if action["applied"] else f"would {what}"
