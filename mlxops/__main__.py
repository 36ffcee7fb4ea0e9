"""The program, as `mlxops`, `mlxctl` and `python -m mlxops`."""

import _signal  # type: ignore[import-not-found]  # signal itself takes as long to import as Ctrl-C needs to be a traceback
import os

INTERRUPTED = 130

for _number in (_signal.SIGINT, _signal.SIGTERM):
    _signal.signal(_number, lambda *_: os._exit(INTERRUPTED))

import gc  # noqa: E402
import sys  # noqa: E402
from typing import NoReturn  # noqa: E402


def main() -> NoReturn:
    """Run one command and leave at once: neither garbage collection nor the interpreter's farewell
    earns its time."""
    gc.disable()
    _sound_streams()
    from .interrupts import listen

    listen()
    from .cli import main as cli_main

    os._exit(cli_main(sys.argv[1:]))


def _sound_streams() -> None:
    """A closed stream swallows what is written; a narrow encoding shows escapes instead of
    failing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end of the program
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
