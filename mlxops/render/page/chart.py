"""Charts in SVG that stretch to the width of the page, and the ticks of their time axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from .text import esc, moment
from .timeline import Span

WIDTH, HEIGHT = 1000, 100
MINUTE, HOUR, DAY = 60, 3600, 86400
STEPS = (1, 5, 15, 60, 180, 360, 720, 1440, 2880, 10080, 43200, 129600)
"""Distances between two ticks, in minutes."""
MAX_TICKS = 7
# A text further to the right would be cut.
LAST_PERCENT = 93.0

# Seconds since the epoch and a value; None where the line breaks.
Point = tuple[float, float | None]


def area(points: Sequence[Point], span: Span, most: float, label: str) -> str:
    """An area under a line; `most`: the value at the top."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point[1] is None:
            runs.append([])
        elif point[0] >= span.start:
            runs[-1].append(point)
    shapes = "".join(_shape(run, span, most) for run in runs if run)
    return (
        f'<svg class="area" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{esc(label)}">{shapes}</svg>'
    )


def _shape(run: Sequence[Point], span: Span, most: float) -> str:
    spots = [(_x(at, span), _y(value or 0.0, most)) for at, value in run]
    line = " ".join(f"{x:g},{y:g}" for x, y in spots)
    first, last = spots[0][0], max(spots[-1][0], spots[0][0] + 1)
    end = f"{last:g},{spots[-1][1]:g}"
    return (
        f'<polygon points="{first:g},{HEIGHT} {line} {end} {last:g},{HEIGHT}"/>'
        f'<polyline points="{line} {end}"/>'
    )


def _x(at: float, span: Span) -> float:
    return round(span.percent(at) * WIDTH / 100, 1)


def _y(value: float, most: float) -> float:
    return round(HEIGHT * (1 - min(1.0, value / most)), 1) if most else HEIGHT


def ticks(span: Span) -> str:
    """Marks of the time axis, at whole hours or days of the local zone."""
    marks = [(x, text) for at, text in tick_times(span) if (x := span.percent(at)) < LAST_PERCENT]
    spans = "".join(f'<span style="left:{x}%">{esc(text)}</span>' for x, text in marks)
    return f'<div class="axis" aria-hidden="true">{spans}</div>'


def tick_times(span: Span) -> list[tuple[float, str]]:
    seconds = span.end - span.start
    step = next(
        (m * MINUTE for m in STEPS if seconds / (m * MINUTE) <= MAX_TICKS), STEPS[-1] * MINUTE
    )
    form = "%H:%M" if seconds < DAY else "%d %b %H:%M" if step < DAY else "%d %b"
    day = datetime.fromtimestamp(span.start).replace(hour=0, minute=0, second=0, microsecond=0)
    found: list[tuple[float, str]] = []
    for _ in range(2000):
        at = day.astimezone().timestamp()
        if at > span.end or len(found) > 2 * MAX_TICKS:
            break
        if at >= span.start:
            found.append((at, moment(at, form)))
        day += timedelta(seconds=step)
    return found
