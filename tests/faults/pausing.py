"""The nursery, copied next to this as cradle.py, with one more fault: "pause" stops the process at
the step.

The harness continues it with SIGCONT. Standard library only."""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any

import cradle  # type: ignore[import-not-found]
import saboteur  # type: ignore[import-not-found]

# A command that finds the registry locked by a stopped process would wait for ten seconds.
LOCK_WAIT_S = 0.3

os_kill = os.kill  # before the saboteur makes a step of it
plain = saboteur.Saboteur._strike


def strike(self: Any, *what: Any) -> None:
    if self._fault != "pause":
        plain(self, *what)
    else:
        self._note({"paused": os.getpid()})
        os_kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    saboteur.Saboteur._strike = strike
    importlib.import_module("agent.registry.store").LOCK_WAIT_S = LOCK_WAIT_S
    cradle.main()
