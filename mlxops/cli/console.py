"""The streams of a command: the answer goes to out, everything else to err."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from ..interrupts import raise_on
from ..render.style import style_for
from ..render.width import terminal_width

POLL_INTERVAL_S = 0.1
YES_OR_NO = " [y/N]: "


class OutputClosed(Exception):
    """The reader of our standard output (| head) has gone."""


def _width(out: TextIO) -> int | None:
    """The columns of the terminal, or those that $COLUMNS asks for; None if it is not one."""
    if not out.isatty():
        return None
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return terminal_width(out)


class Console:
    """`interactive`: a user at a terminal can be asked."""

    def __init__(self, out: TextIO, err: TextIO, interactive: bool = False) -> None:
        self._out, self.err, self.interactive = out, err, interactive
        self.style = style_for(out.isatty(), os.environ, _width(out))
        self.err_style = style_for(err.isatty(), os.environ, _width(err))

    @classmethod
    def standard(cls) -> Console:
        return cls(sys.stdout, sys.stderr, sys.stdin.isatty() and sys.stderr.isatty())

    def print(self, text: str) -> None:
        """Print lines of the answer; nothing for an empty text."""
        try:
            if text:
                self._out.write(text + "\n")
        except BrokenPipeError:
            raise OutputClosed from None

    def print_now(self, text: str) -> None:
        """Print lines at once."""
        self.print(text)
        self.flush()

    def flush(self) -> None:
        try:
            self._out.flush()
        except BrokenPipeError:
            raise OutputClosed from None

    def note(self, text: str) -> None:
        """Print lines on stderr, none for an empty text. A failure does not change the exit
        status."""
        try:
            if text:
                self.err.write(text + "\n")
                self.err.flush()
        except OSError:
            pass

    def confirm(self, question: str) -> bool | None:
        """The user's answer, None at the end of input; KeyboardInterrupt on Ctrl-C."""
        with raise_on(1):
            while True:
                answer = self._answer(question + YES_OR_NO)
                if not answer:
                    self.note("")
                    return None
                word = answer.strip().lower()
                if word in ("y", "yes", "n", "no", ""):
                    return word in ("y", "yes")
                self.note("Please answer y or n.")

    def ask(self, prompt: str) -> str | None:
        """The words typed, None at the end of input; KeyboardInterrupt on Ctrl-C."""
        try:
            with raise_on(1):
                line = self._answer(prompt)
        except KeyboardInterrupt:
            self.note("")
            raise
        return line.strip() if line else None

    def _answer(self, prompt: str) -> str:
        """The line typed; "" at the end of input."""
        import select

        self.err.write(prompt)
        self.err.flush()
        # Ctrl-C just before a blocking read would be handled only after it: poll before reading.
        while not select.select([sys.stdin], [], [], POLL_INTERVAL_S)[0]:
            continue
        return sys.stdin.readline()
