"""The ordinary verbs, run from the view in the terminal that it has left for that."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from .layout import Place

LOG_LINES = 1000


class Verbs(NamedTuple):
    """The command lines of the view. `flags`: those that name a host, without its name."""

    flags: tuple[str, ...] = ()

    def words(self, host: str, *words: str) -> list[str]:
        return ["mlxops", *self.flags, "--host", host, *words]

    def unload(self, at: Place) -> list[str]:
        return self.words(at.host, "unload", str(at.port), "--yes")

    def restart(self, at: Place) -> list[str]:
        return self.words(at.host, "restart", str(at.port), "--yes")

    def cancel(self, at: Place) -> list[str]:
        return self.words(at.host, "cancel", str(at.port))

    def load(self, at: Place, model: str) -> list[str]:
        return self.words(at.host, "load", model, str(at.port))

    def apply(self, host: str) -> list[str]:
        return self.words(host, "apply")

    def show(self, at: Place) -> list[str]:
        return self.words(at.host, "show", str(at.port))

    def logs(self, at: Place) -> list[str]:
        return self.words(at.host, "logs", str(at.port), "-n", str(LOG_LINES))


def run(words: Sequence[str]) -> None:
    """Run a command to its end, show its output, and wait for a key."""
    print(f"$ {shlex.join(words)}", flush=True)
    status = subprocess.call(_program(words))
    how = f"exit status {status}; " if status else ""
    with _single_keys() as fd:
        print(f"\n[{how}press a key to go back]", flush=True)
        os.read(fd, 1024)


def page(words: Sequence[str]) -> None:
    """Show the output of a command in a pager; without one, as run() does."""
    pager = shlex.split(os.environ.get("PAGER") or "less")
    program = os.path.basename(pager[0]) if pager else "cat"
    if program == "cat" or not shutil.which(pager[0]):
        return run(words)
    more = ["-R"] if program == "less" else []
    # A log is read from its end.
    more += ["+G"] if program == "less" and "logs" in words else []
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    text = subprocess.run(_program(words), **output).stdout  # type: ignore[call-overload]
    subprocess.run([*pager, *more], input=text)


def _program(words: Sequence[str]) -> list[str]:
    # -P: a folder named mlxops in the working directory is not this program.
    return [sys.executable, "-P", "-m", "mlxops", *words[1:]]


@contextmanager
def _single_keys() -> Iterator[int]:
    """Inside, standard input gives each key as it is pressed, none of those from before."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        termios.tcflush(fd, termios.TCIFLUSH)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)
