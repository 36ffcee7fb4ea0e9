"""Several hosts at once: a heading for each answer, and one line that names the hosts still to
come."""

from __future__ import annotations

import io
import threading
from typing import Any, TextIO

from .format import printable
from .progress import Progress
from .style import Style
from .width import cut, terminal_width


def heading(host: str, style: Style) -> str:
    return style.strong(f"==> {printable(host)} <==")


class Board:
    """The progress of several calls on one stream. A terminal gets one line that is redrawn."""

    def __init__(self, stream: TextIO, terminal: bool, quiet: bool, verbose: bool) -> None:
        self._stream, self._redraws = stream, terminal and not quiet
        self.prints_steps, self.prints_logs = not terminal and not quiet, verbose
        self._lock = threading.Lock()
        self._drawn = ""

    def line(self, text: str) -> None:
        """One whole line, above the redrawn one."""
        with self._lock:
            self._write(self._erased() + text + "\n")

    def waiting(self, missing: list[str], total: int, phase: str) -> None:
        """Draw which hosts have not answered; `phase`: how far the first of them is."""
        if not self._redraws:
            return
        text = f"{total - len(missing)} of {total} hosts; waiting for {printable(missing[0])}"
        text += f" ({printable(phase)})" if phase else ""
        text += "".join(f", {printable(name)}" for name in missing[1:])
        text = cut(text, terminal_width(self._stream) - 1)
        with self._lock:
            if text != self._drawn:
                self._write(f"\r\x1b[K{text}")
                self._drawn = text

    def close(self) -> None:
        """Erase the redrawn line."""
        with self._lock:
            self._write(self._erased())

    def _erased(self) -> str:
        drawn, self._drawn = self._drawn, ""
        return "\r\x1b[K" if drawn else ""

    def _write(self, text: str) -> None:
        """A closed terminal or a full disk must not end the work that is reported."""
        try:
            if text:
                self._stream.write(text)
                self._stream.flush()
        except OSError:
            pass


class HostProgress(Progress):
    """The progress of one of these calls, in lines that begin with its host; none at a terminal,
    which has the line of all hosts. Its warnings are kept for its answer."""

    def __init__(self, host: str, board: Board) -> None:
        super().__init__(_HostLines(host, board), False, not board.prints_steps, board.prints_logs)
        self.phase = ""
        self.warnings: dict[str, None] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        if event.get("event") == "phase":
            self.phase = str(event.get("message") or event.get("phase") or "")
        super().__call__(event)

    def warn(self, message: str) -> None:
        """Keep a warning, once."""
        self.warnings[message] = None


class _HostLines(io.StringIO):
    """Writes whole lines on the board."""

    def __init__(self, host: str, board: Board) -> None:
        super().__init__()
        self._host, self._board = printable(host), board

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._board.line(f"{self._host}: {line}")
        return len(text)
