"""Tables, through tabulate."""

from __future__ import annotations

import re
from collections.abc import Sequence


def preload() -> None:
    """Import tabulate: as slow as click, and not needed for help and errors."""
    import tabulate  # noqa: F401


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    drop: Sequence[str] | None = None,
) -> str:
    """Rows of cells under their column names. A name that ends in > aligns its column to the right.

    If the lines would be longer than `width`, columns are dropped: those of `drop`, in
    this order, else from the last to the second."""
    text = _draw(columns, rows)
    less = columns[:0:-1] if drop is None else drop
    if width is None or not less or max(map(_visible_length, text.splitlines())) <= width:
        return text
    at = list(columns).index(less[0])
    fewer = [[*row[:at], *row[at + 1 :]] for row in [columns, *rows]]
    return table(fewer[0], fewer[1:], width, less[1:])


def _visible_length(line: str) -> int:
    """Length on the screen: without colour codes."""
    return len(re.sub(r"\x1b\[\d+m", "", line))


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    sides = ["right" if name.endswith(">") else "left" for name in columns]
    names = [name.rstrip(">") for name in columns]
    return (
        tabulate(rows, names, "plain", disable_numparse=True, colalign=sides)
        if rows
        else "  ".join(names)
    )
