"""The program, as `mlxops`, `mlxctl` and `python -m mlxops`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Run one command and leave at once: neither garbage collection nor the interpreter's farewell earns its time."""
    gc.disable()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _sound_streams()
    try:
        from .cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    os._exit(code)


def _sound_streams() -> None:
    """A closed stream swallows what is written; a narrow encoding shows escapes instead of failing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end of the program
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
