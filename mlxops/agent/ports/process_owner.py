"""Which user owns a process. mlxops only works on servers of its own effective user.

Any user can start a process with any command line, so a command line alone proves nothing. This
also holds for root: the process of another user is that user's to stop."""

from __future__ import annotations

import os
from typing import Dict, Mapping, Optional

from ..procs import Process


def uid() -> int:
    return os.geteuid()


def is_own(process: Process) -> bool:
    return process.uid == uid()


def own_processes(table: Mapping[int, Process]) -> Dict[int, Process]:
    """The processes of this user."""
    return {pid: process for pid, process in table.items() if is_own(process)}


def user_name(number: Optional[int]) -> str:
    """The name of a user, "uid N" if it has none, "?" if the user is unknown."""
    import pwd

    try:
        return "?" if number is None else pwd.getpwuid(number).pw_name
    except (KeyError, OverflowError):
        return "uid %s" % number
