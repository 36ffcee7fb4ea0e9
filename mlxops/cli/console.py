"""The streams of one command: the answer goes to out, everything else to err."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from ..interrupts import raising
from ..render.style import style_for

GLANCE_S = 0.1


class ReaderGone(Exception):
    """Whoever read our standard output (| head) has left."""


def _width(out: TextIO) -> int | None:
    """The columns of the terminal that shows the answer; None where it is no terminal, or one of unknown size."""
    try:
        return os.get_terminal_size(out.fileno()).columns or None
    except (OSError, ValueError):
        return None


class Console:
    """`interactive` means that a person sits there who can be asked."""

    def __init__(self, out: TextIO, err: TextIO, interactive: bool = False) -> None:
        self._out, self.err, self.interactive = out, err, interactive
        self.style = style_for(out.isatty(), os.environ, _width(out))
        self.err_style = style_for(err.isatty(), os.environ)

    @classmethod
    def standard(cls) -> Console:
        return cls(sys.stdout, sys.stderr, sys.stdin.isatty() and sys.stderr.isatty())

    def say(self, text: str) -> None:
        """Lines of the answer; nothing at all for an empty text."""
        try:
            if text:
                self._out.write(text + "\n")
        except BrokenPipeError:
            raise ReaderGone from None

    def say_now(self, text: str) -> None:
        """Lines that somebody waits for."""
        self.say(text)
        self.flush()

    def flush(self) -> None:
        try:
            self._out.flush()
        except BrokenPipeError:
            raise ReaderGone from None

    def note(self, text: str) -> None:
        """Lines for a person, none for an empty text; losing them must not change how the command ends."""
        try:
            if text:
                self.err.write(text + "\n")
                self.err.flush()
        except OSError:
            pass

    def confirm(self, question: str) -> bool:
        """The answer of the person at the terminal; click.Abort on Ctrl-C or end of input."""
        import select

        import click

        with raising(1):
            click.echo(f"{question} [y/N]: ", nl=False, err=True)
            # Ctrl-C in the moment before a read would be noticed only after it: wait for the answer outside of one.
            while not select.select([sys.stdin], [], [], GLANCE_S)[0]:
                continue
            return click.confirm("", prompt_suffix="", show_default=False, err=True)
