"""Tables, through tabulate."""

from __future__ import annotations

from collections.abc import Sequence


def get_ready() -> None:
    """Import tabulate, which costs as much as click, and which no help and no error needs."""
    import tabulate  # noqa: F401


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of ready-made cells under their column names. A name that ends in > puts its column to the right."""
    from tabulate import tabulate

    sides = ["right" if name.endswith(">") else "left" for name in columns]
    names = [name.rstrip(">") for name in columns]
    return tabulate(rows, names, "plain", disable_numparse=True, colalign=sides) if rows else "  ".join(names)
