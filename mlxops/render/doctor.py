"""The results of doctor: a table of checks, and the next command for each that did not pass."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import Any

from .format import cell, counted, printable
from .style import Style
from .table import Column, Listing, Row, table

# Verdicts that the table shows by another word.
_RESULTS = {"wrong": "error"}


def _verdict(row: Row, style: Style) -> str:
    return style.verdict(cell(_RESULTS.get(row["verdict"], row["verdict"])))


COLUMNS = (
    Column(name="SIDE", text=lambda r, _: cell(r["side"]), weight=1),
    Column(name="CHECK", text=lambda r, _: cell(r["check"]), keep=True),
    Column(name="RESULT", text=_verdict, keep=True),
    Column(name="DETAILS", text=lambda r, _: cell(r["seen"]), keep=True, shorten=30, wrap=True),
)
LISTING = Listing("checks", COLUMNS, itemgetter("check"))


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
    lines = table(COLUMNS, rows, style).splitlines()
    # Each command once, for the first check that names it.
    fixes: dict[str, str] = {}
    for row in rows:
        if row.get("mend") and row["verdict"] != "ok":
            fixes.setdefault(row["mend"], row["check"])
    return [*lines, *(f"next ({printable(fixes[fix])}): {printable(fix)}" for fix in fixes)]


def _action(action: dict[str, Any]) -> str:
    what = f"{cell(action['action'])} {cell(action['path'])}: {printable(action['reason'])}"
    if action.get("error"):
        return f"failed: {what}: {printable(action['error'])}"
    return f"done: {what}" if action["applied"] else f"would {what}"
