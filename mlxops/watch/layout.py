"""The lines of the view, from what is known of each host. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..render.format import printable
from ..render.style import Style
from ..render.table import Column, sort_rows
from ..render.width import cut, wrapped
from . import text
from .section import CONNECTING, LIVE, LOST, REFUSED, Section

GUTTER = 2
MARGIN = 2
"""Lines that stay visible above and below the selected one."""


class Place(NamedTuple):
    """A port of a host."""

    host: str
    port: int


@dataclass(frozen=True)
class Line:
    """One line, with colour codes. `place`: the port that it is about. `stale`: the host is not
    there to confirm it. `strong`: a heading."""

    text: str
    place: Place | None = None
    stale: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Options:
    """How to show it. `usual_s`: seconds between two updates; `sort`: a column, and whether it is
    reversed."""

    style: Style
    usual_s: float
    sort: tuple[Column, bool] | None = None


def compose(sections: Sequence[Section], options: Options, now: float) -> list[Line]:
    """All lines, however many the terminal has."""
    blocks = [list(_section(one, options, now)) for one in sections]
    lines = blocks[0]
    for block in blocks[1:]:
        lines = [*lines, Line(""), *block]
    return lines


def _section(section: Section, options: Options, now: float) -> Iterator[Line]:
    style, link = options.style, section.link
    room = style.width or 80
    head = text.header(
        printable(section.name), printable(section.target), _link(section, options, now), style
    )
    yield Line(head, strong=True)
    if link.error is not None and link.state in (LOST, REFUSED):
        for why in text.why_lost(link.error, link.state == REFUSED):
            yield from (Line(part) for part in wrapped(why, room))
    if not section.known:
        return
    result = section.result(now)
    if options.sort:
        result["ports"] = sort_rows(result["ports"], *options.sort)
    body = [Line(text.memory_bar(result.get("memory"))), Line("")]
    body += _table(section, result["ports"], style)
    body += _below(section, result, style, now)
    stale = link.state != LIVE
    for line in body:
        shown = line.text if style.width is None else cut(line.text, style.width)
        yield replace(line, text=shown, stale=stale)


def _link(section: Section, options: Options, now: float) -> str:
    link = section.link
    if link.state == CONNECTING:
        return "connecting"
    if link.state == LIVE:
        return text.updated(None if link.heard_at is None else now - link.heard_at, options.usual_s)
    if link.state == REFUSED:
        return "refused"
    return text.lost(now - (link.lost_at or now), max(0.0, (link.retry_at or now) - now))


def _table(section: Section, rows: list[dict[str, Any]], style: Style) -> list[Line]:
    """The table, each row with its port, behind a gutter for the mark of the selected one."""
    narrow = replace(style, width=None if style.width is None else style.width - GUTTER)
    # A wider terminal shows more here, not an option.
    head, *others = (line.replace(" (-o wide)", "") for line in text.port_table(rows, narrow))
    places = [Place(section.name, row["port"]) for row in rows]
    padded = [*places, *[None] * (len(others) - len(places))]
    cells = [Line(" " * GUTTER + one, place=at) for one, at in zip(others, padded, strict=False)]
    return [Line(" " * GUTTER + head, strong=True), *cells]


def _below(section: Section, result: dict[str, Any], style: Style, now: float) -> Iterator[Line]:
    room = style.width or 80
    blocks = [
        [work.line(now, room) for work in section.works.values()],
        [part for one in text.problem_lines(result, style) for part in wrapped(one, room)],
        [f"warning: {printable(note)}" for note in section.notes],
        text.event_lines(result.get("events"), style),
    ]
    for block in filter(None, blocks):
        yield Line("")
        yield from (Line(line) for line in block)


def first_line(lines: Sequence[Line], selected: Place | None, start: int, height: int) -> int:
    """The first line to show, so that the selected one is visible: `start` if it is with that."""
    last = max(0, len(lines) - height)
    at = next((n for n, line in enumerate(lines) if line.place and line.place == selected), None)
    if at is not None:
        start = min(start, max(0, at - MARGIN))
        start = max(start, at + MARGIN + 1 - height)
    return min(start, last)
