"""A load held where it stops the model before it, for as long as a test wants."""

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
    """amber onto the first port, where a worker of jade's server does not end. `held`: what the
    port's lock says."""

    load: subprocess.Popen[str]
    held: dict[str, Any]
    port: int
    worker: int

    def goes_on(self) -> Answer:
        """Let the worker end; how the load ended then."""
        self.let_go()
        return finished(self.load)

    def killed(self) -> None:
        """The load's agent is, with -9; then the worker ends."""
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
