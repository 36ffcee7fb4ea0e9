"""What ran on which port, from when to when: intervals from the rows of the history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..format import timestamp

Row = Mapping[str, Any]
STARTS = ("load", "restart", "adopt")


@dataclass(frozen=True)
class Interval:
    """A model on a port. `start` and `end`: seconds since the epoch; `running`: it has not ended;
    `lost`: its server ended by itself."""

    port: int
    entry: str
    start: float
    end: float
    running: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Span:
    """The time that a page shows."""

    start: float
    end: float

    def percent(self, at: float) -> float:
        """Where a moment is, in percent of the width."""
        share = (at - self.start) / (self.end - self.start)
        return round(100 * min(1.0, max(0.0, share)), 3)


def span_of(rows: Sequence[Row], now: float) -> Span:
    times = [at for row in rows if (at := timestamp(row["at"])) is not None]
    start = min([*times, now - 60])
    return Span(start, now)


def intervals(rows: Sequence[Row], span: Span) -> list[Interval]:
    """The intervals of all ports. `rows`: newest first."""
    done: list[Interval] = []
    there: dict[int, tuple[str, float]] = {}

    def close(port: int, at: float, before: Any = None, lost: bool = False) -> None:
        name, start = there.pop(port, (before, span.start))
        if isinstance(name, str) and at >= start:
            done.append(Interval(port=port, entry=name, start=start, end=at, lost=lost))

    for row in reversed(rows):
        port, began = row["port"], timestamp(row["at"])
        if not isinstance(port, int) or began is None:
            continue
        ended = timestamp(row["ended"])
        last = began if ended is None else ended
        if row["what"] in ("unload", "lost"):
            if row["outcome"] == "done":
                close(port, last, row["before"], lost=row["what"] == "lost")
        elif row["what"] in STARTS and (_moved(row) or row["after"]):
            close(port, began, row["before"])
            if row["after"] and row["outcome"] != "running":
                there[port] = (row["after"], last)
    done += [
        Interval(port=port, entry=name, start=start, end=span.end, running=True)
        for port, (name, start) in there.items()
    ]
    return done


def _moved(row: Row) -> bool:
    """Whether it changed which model has the port: a load that fails early does not."""
    return any(change["field"] == "port" for change in row["changes"])


def ports_of(rows: Iterable[Row], more: Iterable[str]) -> list[int]:
    """The ports that anything is known of."""
    known = {row["port"] for row in rows if isinstance(row["port"], int)}
    return sorted(known | {int(port) for port in more if port.isdigit()})


def failures(rows: Iterable[Row]) -> list[Row]:
    """Work that failed or was killed, and servers that were lost."""
    return [row for row in rows if row["outcome"] in ("failed", "killed") or row["what"] == "lost"]
