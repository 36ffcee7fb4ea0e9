"""The program, as `mlxops`, `mlxctl` and `python -m mlxops`."""

import _signal  # type: ignore[import-not-found]  # importing signal takes long enough for Ctrl-C to print a traceback
import os

INTERRUPTED = 130

for _number in (_signal.SIGINT, _signal.SIGTERM):
    _signal.signal(_number, lambda *_: os._exit(INTERRUPTED))

import gc  # noqa: E402
import sys  # noqa: E402
from typing import NoReturn  # noqa: E402


def main() -> NoReturn:
    """Run one command, then exit with os._exit: garbage collection and interpreter shutdown would
    only cost time."""
    gc.disable()
    _sound_streams()
    from .interrupts import listen

    listen()
    from .cli import main as cli_main

    os._exit(cli_main(sys.argv[1:]))


def _sound_streams() -> None:
    """Make writing safe: a closed stream becomes /dev/null, a character that the encoding lacks an
    escape."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end of the program
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
