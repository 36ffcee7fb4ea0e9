"""A command in the foreground of a terminal, with a user who types."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import time
from typing import Any

from tests.support.studio import Studio

CTRL_C = b"\x03"
ROWS, COLUMNS = 24, 80


class Terminal:
    """A command at a terminal of its own, of 80x24: what it shows, and the keys that are typed."""

    def __init__(self, studio: Studio, *words: object) -> None:
        self._keys, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        mine: Any = lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)  # noqa: E731
        self.process = studio.start(*words, **streams, start_new_session=True, preexec_fn=mine)
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> None:
        while text not in self.shown:
            assert self._read(), f"it ended before it said {text!r}: {self.shown}"

    def type(self, keys: bytes) -> None:
        os.write(self._keys, keys)

    def press(self) -> float:
        """Ctrl-C; how long the command took to end then. Its last words are in `shown`."""
        self.type(CTRL_C)
        began = time.monotonic()
        self.end()
        return time.monotonic() - began

    def end(self) -> int:
        """The exit status, once the command has ended. Its last words are in `shown`."""
        while self._read():
            pass
        code = self.process.wait(timeout=60)
        os.close(self._keys)
        return code

    def _read(self) -> bool:
        try:
            chunk = os.read(self._keys, 4096)
        except OSError:  # how a terminal tells that nobody is there any more
            return False
        self.shown += chunk.decode(errors="replace")
        return bool(chunk)
