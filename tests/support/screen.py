"""The live view in a terminal of its own: what its screen shows, the keys that are typed, and how
it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.studio import Studio

WITHIN_S = 30.0


class Screen:
    """A command at a terminal that pyte emulates. `raw`: all that it wrote."""

    def __init__(
        self, studio: Studio, *words: object, size: tuple[int, int] = (80, 24), **env: str
    ) -> None:
        pyte: Any = pytest.importorskip("pyte")
        self._keys, self._theirs = pty.openpty()
        self._shown = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._shown)
        self.raw = b""
        self._resize_terminal(*size)
        self.before = termios.tcgetattr(self._theirs)
        streams = {name: self._theirs for name in ("stdin", "stdout", "stderr")}
        mine: Any = lambda: fcntl.ioctl(self._theirs, termios.TIOCSCTTY, 0)  # noqa: E731
        # linux: pyte knows all that its terminfo uses.
        studio.env = {**studio.env, "TERM": "linux", **env}
        self.process = studio.start(*words, **streams, start_new_session=True, preexec_fn=mine)

    def _resize_terminal(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._keys, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """As when a user drags the corner of the window: the command gets SIGWINCH."""
        self._shown.resize(lines, columns)
        self._resize_terminal(columns, lines)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._shown.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def colour(self, text: str) -> str:
        """The colour of the first cell of this text."""
        row = next(n for n, line in enumerate(self.lines) if text in line)
        found: str = self._shown.buffer[row][self.lines[row].index(text)].fg
        return found

    def type(self, keys: str) -> None:
        os.write(self._keys, keys.encode())

    def until(self, *texts: str) -> str:
        """The screen, once it shows all of these texts at the same time."""
        return self.when(lambda: all(text in self.text for text in texts), f"no {texts}")

    def gone(self, text: str) -> str:
        """The screen, once it does not show this text."""
        return self.when(lambda: text not in self.text, f"still {text!r}")

    def when(self, condition: Callable[[], bool], complaint: str = "") -> str:
        end = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < end, f"{complaint}:\n{self.text}"
            assert self._read(0.2) or self.process.poll() is None, f"it ended:\n{self.text}"
        return self.text

    def _read(self, seconds: float) -> bool:
        if not select.select([self._keys], [], [], seconds)[0]:
            return False
        chunk = os.read(self._keys, 1 << 16)
        self.raw += chunk
        self._stream.feed(chunk)
        return True

    def end(self, signum: int = 0) -> int:
        """The exit status, after a signal if one is given."""
        if signum:
            os.kill(self.process.pid, signum)
        end = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < end, f"no end:\n{self.text}"
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    @property
    def sane(self) -> bool:
        """Whether the terminal has the settings from before the command."""
        return termios.tcgetattr(self._theirs) == self.before

    def close(self) -> None:
        """End the command, if it still runs."""
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        os.close(self._keys)
        os.close(self._theirs)
