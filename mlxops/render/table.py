"""Tables that fit the terminal, through tabulate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .style import Style
from .width import broken, char_width, shorten_all, width

Row = Mapping[str, Any]

GAP = 2
"""Blanks between two columns."""
MIN_WIDTH = 6
"""A column that must stay is not cut below this."""
# Takes no column and never occurs in a cell: makes tabulate count a wide character as two.
_FILL = "\u2060"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    `text` makes the cell of a row. `key` is what --sort compares, None for unknown; by default the
    text. `largest`: sorted from the largest to the smallest.

    Where the terminal is too narrow, columns with a `shorten` are shortened, to that width at the
    least (with `prose`: at the end, with `wrap`: broken into several lines); then those without
    `keep` are hidden, the smallest `weight` first."""

    name: str
    text: Callable[[Row, Style], str]
    weight: int = 0
    keep: bool = False
    shorten: int = 0
    wrap: bool = False
    prose: bool = False
    right: bool = False
    key: Callable[[Row], Any] | None = None
    largest: bool = False


@dataclass(frozen=True)
class Listing:
    """What a verb lists: the key of the rows in its result, their columns, and the word that other
    verbs accept for a row; a false one for a row that is not listed."""

    rows: str
    columns: Sequence[Column]
    name: Callable[[Row], Any]


def preload() -> None:
    """Import tabulate: as slow as click, and not needed for help and errors."""
    import tabulate  # noqa: F401


def table(columns: Sequence[Column], rows: Sequence[Row], style: Style) -> str:
    """The rows under the names of the columns, in at most `style.width` columns of the terminal;
    below them, which columns were hidden for that."""
    columns = _chosen(columns, style)
    filled = [_Filled(column, [column.text(row, style) for row in rows]) for column in columns]
    shown = filled if style.width is None else _fit(filled, style.width, bool(style.columns))
    hidden = [one.column.name for one in filled if all(one.column != s.column for s in shown)]
    note = [style.faint(f"hidden: {', '.join(hidden)} (-o wide)")] if hidden else []
    return "\n".join([*_draw(shown), *note])


def sort_rows(rows: Sequence[Any], column: Column, reverse: bool) -> list[Any]:
    """The rows by a column, in its own direction or the reverse; unknown values come last."""
    plain = Style()

    def by_text(row: Row) -> str | None:
        text = column.text(row, plain)
        return None if text == "-" else text.casefold()

    key: Callable[[Row], Any] = column.key or by_text
    known = [row for row in rows if key(row) is not None]
    return [
        *sorted(known, key=key, reverse=column.largest != reverse),
        *(row for row in rows if key(row) is None),
    ]


def _chosen(columns: Sequence[Column], style: Style) -> Sequence[Column]:
    """The columns named with --columns, in that order; all if none of them was."""
    by_name = {column.name: column for column in columns}
    return [by_name[name] for name in style.columns if name in by_name] or columns


class _Filled:
    """A column with its cells, and the widths that it needs and has."""

    def __init__(self, column: Column, cells: list[str]) -> None:
        self.column, self.cells = column, cells
        self.needs = max(width(line) for cell in [column.name, *cells] for line in cell.split("\n"))
        shortest = max(column.shorten, width(column.name)) if column.shorten else self.needs
        self.least = min(self.needs, shortest)

    @property
    def empty(self) -> bool:
        """Whether it holds only dashes."""
        return all(cell == "-" for cell in self.cells)

    def cut(self, room: int) -> _Filled:
        if room >= self.needs:
            return self
        if self.column.wrap:
            return _Filled(self.column, ["\n".join(broken(one, room)) for one in self.cells])
        return _Filled(self.column, shorten_all(self.cells, room, self.column.prose))


def _fit(columns: list[_Filled], room: int, keep_all: bool) -> list[_Filled]:
    """The columns that fit, the widest ones shortened."""
    shown = columns
    going = sorted(
        (one for one in columns if not one.column.keep and not keep_all),
        key=lambda one: (not one.empty, one.column.weight),
    )
    while going and _least(shown) > room:
        gone = going.pop(0)
        shown = [one for one in shown if one is not gone]
    if _least(shown) > room:
        for one in shown:
            one.least = min(one.needs, MIN_WIDTH) if one.column.shorten else one.needs
    return _share(shown, room - GAP * (len(shown) - 1))


def _least(columns: list[_Filled]) -> int:
    return sum(one.least for one in columns) + GAP * (len(columns) - 1)


def _share(columns: list[_Filled], room: int) -> list[_Filled]:
    """The columns in `room` together: those that are wider than a common limit are cut to it."""
    over = sum(one.needs for one in columns) - room
    widths = [one.needs for one in columns]
    while over > 0:
        can = [at for at, one in enumerate(columns) if widths[at] > one.least]
        if not can:
            break
        widest = max(can, key=lambda at: widths[at])
        widths[widest] -= 1
        over -= 1
    # A name in two columns is then shortened alike in both.
    alike: dict[tuple[int, int], int] = {}
    for one, wide in zip(columns, widths, strict=True):
        alike[one.needs, one.least] = min(wide, alike.get((one.needs, one.least), wide))
    return [one.cut(alike[one.needs, one.least]) for one in columns]


def _draw(columns: list[_Filled]) -> list[str]:
    from tabulate import tabulate

    lines = zip(*([_fill(one.column.name), *map(_fill, one.cells)] for one in columns), strict=True)
    sides = ["right" if one.column.right else "left" for one in columns]
    text = tabulate(list(lines), tablefmt="plain", disable_numparse=True, colalign=sides)
    return [line.replace(_FILL, "").rstrip() for line in text.splitlines()]


def _fill(cell: str) -> str:
    if cell.isascii():
        return cell
    return "".join(char + _FILL if char_width(char) == 2 else char for char in cell)
