"""The program, as `mlxops`, `mlxctl` and `python -m mlxops`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Run one command and leave at once: neither garbage collection nor the interpreter's farewell earns its time."""
    gc.disable()
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    _sound_streams()
    try:
        from .cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    os._exit(code)


def _as_ctrl_c(signum: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does at this moment: a call in progress has its own way to end, which undoes."""
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if callable(on_ctrl_c):
        on_ctrl_c(signal.SIGINT, frame)
    else:  # ignored, as it is for a job in the background
        raise KeyboardInterrupt


def _sound_streams() -> None:
    """A closed stream swallows what is written; a narrow encoding shows escapes instead of failing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end of the program
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
