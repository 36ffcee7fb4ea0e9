"""Processes of a test that are still alive: those with its folder in argv, environment or working
directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ENDS_WITHIN_S = 6.0


def left_behind(folder: Path) -> dict[int, str]:
    """pid -> command line of the processes that are still alive after a grace period; they are
    killed."""
    end = time.monotonic() + ENDS_WITHIN_S
    while (alive := living(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    for pid in alive:
        _kill(pid)
    return alive


def kill_all(folder: Path) -> None:
    """Kill the processes of a folder, and those that they start meanwhile."""
    end = time.monotonic() + ENDS_WITHIN_S
    while (alive := living(folder)) and time.monotonic() < end:
        for pid in alive:
            _kill(pid)
        time.sleep(0.01)


def living(folder: Path) -> dict[int, str]:
    names = re.compile(re.escape(os.fspath(folder)) + r"(?![\w.-])").search
    found = dict(_from_proc(names) if sys.platform == "linux" else _from_ps(names))
    spared = set(our_line()) if found else set()
    return {pid: command for pid, command in found.items() if pid not in spared}


def our_line() -> Iterator[int]:
    """This process and its ancestors, whose command lines may contain the folder."""
    pid = os.getpid()
    while pid > 1:
        yield pid
        asked = subprocess.run(
            ["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True
        )
        pid = int(asked.stdout or 0)


def _from_proc(names: Callable[[str], object]) -> Iterator[tuple[int, str]]:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = _text(place / "cmdline")
            about = [command, _text(place / "environ"), os.readlink(place / "cwd")]
        except OSError:  # gone, a zombie, or of another user
            continue
        if any(map(names, about)):
            yield int(place.name), command


def _text(path: Path) -> str:
    return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _from_ps(names: Callable[[str], object]) -> Iterator[tuple[int, str]]:
    listed = subprocess.run(
        ["ps", "-Eww", "-o", "pid=,command="], capture_output=True, text=True, check=True
    ).stdout
    for line in filter(names, listed.splitlines()):
        pid, command = line.split(None, 1)
        yield int(pid), command


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
