"""Deadlines, polling and timestamps."""

from __future__ import annotations

import time
from typing import Callable, Iterator, Optional, TypeVar

Value = TypeVar("Value")
UTC_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Deadline:
    """A moment on the monotonic clock, `seconds` from now."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self._clock())

    @property
    def passed(self) -> bool:
        return self.left() == 0.0


def wait_for(
    poll: Callable[[], Optional[Value]],
    deadline: Deadline,
    interval_s: float = 0.05,
    max_interval_s: float = 0.0,
) -> Optional[Value]:
    """Poll at least once; return the first truthy value, or None if the deadline passes first.

    The pauses last `interval_s` seconds and grow up to `max_interval_s` if that is more."""
    for pause in pauses(interval_s, max_interval_s):
        found = poll()
        if found or deadline.passed:
            return found or None
        time.sleep(min(pause, deadline.left()))
    return None


def pauses(first: float, longest: float) -> Iterator[float]:
    """The pauses between polls, endlessly: `first` seconds, then 1.5 times as long each time, up to
    `longest`."""
    while True:
        yield first
        first = max(first, min(first * 1.5, longest))


def now() -> str:
    """This moment in UTC, ISO 8601 to the second."""
    return utc(time.time())


def epoch(text: object) -> Optional[float]:
    """Seconds since the epoch, from a text as `now` writes them; None for anything else."""
    import calendar

    try:
        return float(calendar.timegm(time.strptime(str(text), UTC_FORMAT)))
    except (ValueError, OverflowError):
        return None


def utc(moment: float) -> str:
    """Seconds since the epoch, as `now` writes them."""
    return time.strftime(UTC_FORMAT, time.gmtime(moment))
