"""Mark each server that mlxops starts with an environment variable, which its children inherit.

Only the mark identifies a process that has left the server's process tree and session."""

from __future__ import annotations

import os
from typing import Mapping, Tuple

from ..ports import process_owner
from ..procs import Process, Procs

VARIABLE = "MLXOPS_SERVER"


def new_mark() -> str:
    return os.urandom(8).hex()


def mark_of(procs: Procs, process: Process) -> str:
    """The mark of a process; "" if it has none, or its environment cannot be read."""
    return procs.variable(process.pid, VARIABLE)


def marked_processes(procs: Procs, mark: str, table: Mapping[int, Process]) -> Tuple[Process, ...]:
    """This user's running processes with the mark."""
    living = (p for p in process_owner.own_processes(table).values() if mark and not p.zombie)
    return tuple(p for p in living if mark_of(procs, p) == mark)
