"""The command lines of this machine, for tests of what must never be in one."""

from __future__ import annotations

import subprocess
import threading


class CommandLines:
    """Every command line of this machine, collected while the context is open."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            shown = subprocess.run(
                ["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True
            )
            self.seen |= set(shown.stdout.splitlines())

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
