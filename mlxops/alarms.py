"""Several independent alarms on the process's one timer, ITIMER_REAL.

An alarm is called in the main thread, between two bytecodes, and may raise there.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

SOONEST_S = 1e-4
"""A timer of 0 would be disarmed."""


@dataclass(eq=False)
class Alarm:
    """Calls `ring` at `at` on the monotonic clock, and then each `every` seconds, if given."""

    at: float
    ring: Callable[[], object]
    every: float | None = None

    def cancel(self) -> None:
        """Cancel it; a no-op after it rang."""
        if self in _set:
            _set.remove(self)
            _arm()


_set: list[Alarm] = []
_before: Any = None


def after(seconds: float, ring: Callable[[], object], every: float | None = None) -> Alarm:
    """Call `ring` after so many seconds. Main thread only, as for any signal."""
    global _before
    if not _set:
        _before = signal.signal(signal.SIGALRM, _rung)
    alarm = Alarm(time.monotonic() + seconds, ring, every)
    _set.append(alarm)
    _arm()
    return alarm


def _arm() -> None:
    """Set the timer for the next alarm; without one, restore the previous handler."""
    if _set:
        signal.setitimer(
            signal.ITIMER_REAL, max(SOONEST_S, min(alarm.at for alarm in _set) - time.monotonic())
        )
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, _before or signal.SIG_DFL)


def _rung(signum: int, frame: FrameType | None) -> None:
    """Call one alarm at a time: if it raises, the others are still called."""
    now = time.monotonic()
    due = [alarm for alarm in _set if alarm.at <= now]
    first = min(due, key=lambda alarm: alarm.at) if due else None
    if first is not None and first.every is None:
        _set.remove(first)
    elif first is not None:
        first.at = now + (first.every or 0)
    _arm()
    if first is not None:
        first.ring()
