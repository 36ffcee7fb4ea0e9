"""The one way to wait."""

from __future__ import annotations

import time
from typing import Callable, Optional, TypeVar

Found = TypeVar("Found")


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


def wait_for(look: Callable[[], Optional[Found]], deadline: Deadline, every: float = 0.05) -> Optional[Found]:
    """The first truthy value of `look`, tried at least once; None when the deadline passes first."""
    while True:
        found = look()
        if found or deadline.passed:
            return found or None
        time.sleep(min(every, deadline.left()))
