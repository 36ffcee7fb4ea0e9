"""Whether each server reacts, asked with a bare connection: no server logs it
(probe.reaction_time_ms)."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Callable, Dict, Iterable, NamedTuple, Optional, Tuple

from ..ports import probe

PULSE_INTERVAL_S = 10.0
PULSE_TIMEOUT_S = 2.0
# A connection to a server that hangs stays in its queue, where it takes a client's place.
MAX_PULSE_INTERVAL_S = 300.0
MISSES_OF_A_HUNG_SERVER = 2


class Pulse(NamedTuple):
    """`latency_ms`: of the last connection; None if the server did not react to it. `misses`: how
    many failed since the last success. `reacted`: whether there was one."""

    latency_ms: Optional[float] = None
    misses: int = 0
    at: float = 0.0
    reacted: bool = False

    @property
    def hung(self) -> bool:
        """A server that reads a long prompt may react late once."""
        return self.misses >= (MISSES_OF_A_HUNG_SERVER if self.reacted else 1)

    def after(self, latency_ms: Optional[float], at: float) -> Pulse:
        if latency_ms is None:
            return self._replace(latency_ms=None, misses=self.misses + 1, at=at)
        return Pulse(latency_ms=latency_ms, at=at, reacted=True)

    def due(self, now: float) -> bool:
        """A first miss is checked soon; a server that hangs is left alone for longer and longer."""
        if self.misses == 1:
            return True
        pause: float = PULSE_INTERVAL_S * 2 ** max(0, self.misses - 1)
        return now - self.at >= min(pause, MAX_PULSE_INTERVAL_S)


Target = Tuple[int, str]


class Pulses:
    """The pulses of the ports that listen, taken one after another in a thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        react: Callable[[str, int, float], Optional[float]] = probe.reaction_time_ms,
    ) -> None:
        self._clock, self._react = clock, react
        self._pulses: Dict[int, Pulse] = {}
        self._targets: Dict[int, str] = {}
        self._hurry: set[int] = set()
        self._wake = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def of(self, port: int) -> Pulse:
        return self._pulses.get(port, Pulse())

    def aim(self, targets: Iterable[Target]) -> None:
        """The ports that listen now, and their addresses. One that no longer listens is
        forgotten."""
        self._targets = dict(targets)
        for port in set(self._pulses) - set(self._targets):
            self._pulses.pop(port, None)

    def hurry(self, port: int) -> None:
        """Ask this port at once: something about it has changed."""
        self._hurry.add(port)
        self._wake.set()

    def take_all(self) -> None:
        """Ask all ports now, at the same time."""
        probe.call_all({port: partial(self._take, port) for port in [*self._targets]})

    def _run(self) -> None:
        while True:
            for port in [*self._targets]:
                if port in self._hurry or self.of(port).due(self._clock()):
                    self._hurry.discard(port)
                    self._take(port)
            self._wake.wait(1.0)
            self._wake.clear()

    def _take(self, port: int) -> None:
        address = self._targets.get(port)
        if address is not None:
            latency = self._react(address, port, PULSE_TIMEOUT_S)
            self._pulses[port] = self.of(port).after(latency, self._clock())
