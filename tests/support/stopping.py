"""A load held in the phase in which it stops the previous model, until the test releases it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio, eventually, finished
from tests.support.watching import job

LONG_S = 300


@dataclass(frozen=True)
class Swap:
    """A load of amber onto the first port, where a worker of jade's server does not end. `held`:
    the text of the port's lock."""

    load: subprocess.Popen[str]
    held: dict[str, Any]
    port: int
    worker: int

    def goes_on(self) -> Answer:
        """Let the worker end; return how the load ended."""
        self.let_go()
        return finished(self.load)

    def killed(self) -> None:
        """Kill the load's agent with SIGKILL; then let the worker end."""
        os.kill(self.held["pid"], signal.SIGKILL)
        self.goes_on()

    def let_go(self) -> None:
        if self.load.poll() is None:
            os.kill(self.worker, signal.SIGKILL)


@contextmanager
def stopping(studio: Studio, runtime: FakeRuntime) -> Iterator[Swap]:
    port = studio.ports[0]
    runtime.behaves("tiny--jade", linger_s=LONG_S)
    studio.must("load", "jade", port)
    worker = int(runtime.journal("child")[-1]["child"])
    load = studio.start("--json", "load", "amber", port, "--replace", "--grace", LONG_S)
    held = job(studio, port, "stop")
    eventually(lambda: runtime.journal("signal"))
    swap = Swap(load, held, port, worker)
    try:
        yield swap
    finally:
        if load.poll() is None:
            swap.goes_on()
