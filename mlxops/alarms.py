"""The one owner of the process's timer: several alarms at once, none of which disturbs another.

An alarm runs in the main thread, between two of its steps, and may raise there.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

SOONEST_S = 1e-4
"""A timer of 0 would be none at all."""


@dataclass(eq=False)
class Alarm:
    """Rings once at `at`, a moment of the monotonic clock; with `every`, again each so many seconds
    after that."""

    at: float
    ring: Callable[[], object]
    every: float | None = None

    def cancel(self) -> None:
        """No-op where it has rung or was cancelled before."""
        if self in _set:
            _set.remove(self)
            _arm()


_set: list[Alarm] = []
_before: Any = None


def after(seconds: float, ring: Callable[[], object], every: float | None = None) -> Alarm:
    """Have `ring` called in so many seconds. Only the main thread can ask for it, as for any
    signal."""
    global _before
    if not _set:
        _before = signal.signal(signal.SIGALRM, _rung)
    alarm = Alarm(time.monotonic() + seconds, ring, every)
    _set.append(alarm)
    _arm()
    return alarm


def _arm() -> None:
    """Set the timer for the next alarm; without one, give the signal back."""
    if _set:
        signal.setitimer(
            signal.ITIMER_REAL, max(SOONEST_S, min(alarm.at for alarm in _set) - time.monotonic())
        )
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, _before or signal.SIG_DFL)


def _rung(signum: int, frame: FrameType | None) -> None:
    """One alarm each time: what it raises must not cost another its turn."""
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
