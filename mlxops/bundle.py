"""The agent's files as one bundle named by its hash, and the command line that starts it."""

from __future__ import annotations

import functools
import shlex
import sys
import threading
from pathlib import Path

from .agent.wire import bootstrap
from .agent.wire.bootstrap import FLAGS, LAUNCH_COMMAND, LOADER
from .agent.wire.bootstrap import Bundle as Bundle

AGENT = Path(__file__).parent / "agent"
_lock = threading.Lock()


def launch_command(python: str | None) -> str:
    """The command line for a login shell, the same for each call with this interpreter."""
    if python is None:
        return "exec " + shlex.join(LAUNCH_COMMAND)
    home, rest = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return f"exec {home}{shlex.quote(rest)} {shlex.join([*FLAGS, LOADER])}"


def local_argv(python: str | None) -> list[str]:
    """The same for this machine, without a shell."""
    return [str(Path(python or sys.executable).expanduser()), *FLAGS, LOADER]


def pack(root: Path = AGENT) -> Bundle:
    """The agent below `root`, the folder that becomes the package `agent`. Packed once, also by
    calls to many hosts at once."""
    with _lock:
        return _pack(root)


@functools.cache
def _pack(root: Path) -> Bundle:
    return bootstrap.pack(str(root))
