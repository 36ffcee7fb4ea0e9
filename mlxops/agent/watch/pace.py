"""Space out expensive observations, so that they take a fixed share of one core."""

from __future__ import annotations

import os
import time
from typing import Callable, Generic, Optional, TypeVar

from ..errors import Unobservable

Value = TypeVar("Value")


def cpu_s() -> float:
    """Seconds of processor time that this process and its ended children took."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


class Paced(Generic[Value]):
    """An observation that is made again only once its cost has been paid: one that takes 10 ms is
    made every 2.5 s for a share of 0.4 %.

    `burst`: the share that it may take where the caller knows of a change."""

    def __init__(
        self,
        observe: Callable[[], Value],
        share: float,
        burst: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        cost: Callable[[], float] = cpu_s,
    ) -> None:
        self._observe, self._share, self._burst = observe, share, burst or share
        self._clock, self._cost = clock, cost
        self._at: Optional[float] = None
        self._took_s = 0.0
        self._value: Optional[Value] = None

    def due(self, changed: bool = False) -> bool:
        """Whether value() observes again. `changed`: spend the burst."""
        share = self._burst if changed else self._share
        return self._at is None or self._clock() - self._at >= self._took_s / share

    def value(self, changed: bool = False) -> Optional[Value]:
        """The last observation, at most as old as its cost demands; None if it cannot be made."""
        if self.due(changed):
            began = self._cost()
            try:
                self._value = self._observe()
            except Unobservable:
                self._value = None
            self._took_s = self._cost() - began
            self._at = self._clock()
        return self._value
