"""The processes and listeners of this machine, with an event injected between two observations.
Runs on Python 3.9 too."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from mlxops.agent.procs import Listener, Process, Unobservable, local_procs
from tests.support.procs_actors import eventually


class Faltering:
    """Observes correctly until it has sent its first signal; `failing` decides for each later
    observation whether it fails.

    `sent` records every signal as (pid, signal)."""

    def __init__(self, failing: Callable[[], bool]) -> None:
        self._procs = local_procs()
        self._failing = failing
        self.sent: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._procs, name)

    def send(self, process: Process, signum: int) -> bool:
        self.sent.append((process.pid, signum))
        return self._procs.send(process, signum)

    def processes(self) -> dict[int, Process]:
        if self.sent and self._failing():
            raise Unobservable("a look failed")
        return self._procs.processes()


class Interposed:
    """Calls `deed` once, before it lists listeners, as soon as `due` is true."""

    def __init__(self, due: Callable[[], Any], deed: Callable[[], None]) -> None:
        self._procs = local_procs()
        self._due = due
        self._deed = deed
        self.done = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._procs, name)

    def listeners(self, ports: Iterable[int]) -> tuple[Listener, ...]:
        if not self.done and self._due():
            self.done = True
            self._deed()
        return self._procs.listeners(ports)


class Bereaved:
    """Before it lists processes, the child ends, and its parent has not noticed yet."""

    def __init__(self, child: int) -> None:
        self._procs = local_procs()
        self._child = child

    def __getattr__(self, name: str) -> Any:
        return getattr(self._procs, name)

    def processes(self) -> dict[int, Process]:
        os.kill(self._child, signal.SIGKILL)
        eventually(lambda: self._procs.processes()[self._child].zombie)
        return self._procs.processes()
