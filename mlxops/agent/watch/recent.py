"""The processes and listeners of the last scan, for looks that come after it."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterable, Mapping, Tuple

from ..errors import Unobservable
from ..procs import Listener, Process, Procs


class RecentProcs:
    """Procs of the last scan; for everything else the platform itself."""

    def __init__(self, procs: Procs, ports: Iterable[int]) -> None:
        self._procs, self._ports = procs, tuple(ports)
        self._table: Any = Unobservable("not scanned yet")
        self._listeners: Any = self._table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._procs, name)

    def scan(self) -> None:
        """Look at everything again. Listeners first, as in observe.scan."""
        self._listeners = _outcome(partial(self._procs.listeners, self._ports))
        self._table = _outcome(self._procs.processes)

    def update(self, known: Mapping[int, Process]) -> None:
        """Take over a newer look at some processes."""
        if isinstance(self._table, dict):
            self._table.update(known)

    def processes(self) -> Dict[int, Process]:
        return dict(_value(self._table))

    def listeners(self, ports: Iterable[int]) -> Tuple[Listener, ...]:
        wanted = frozenset(ports)
        return tuple(one for one in _value(self._listeners) if one.port in wanted)


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Unobservable as exc:
        return exc


def _value(outcome: Any) -> Any:
    if isinstance(outcome, Unobservable):
        raise outcome
    return outcome
