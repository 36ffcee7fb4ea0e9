"""A word in the environment of each server that mlxops starts: what the server forks off keeps it,
wherever it goes.

A process that left its parent's tree and session is known as the server's by nothing else."""

from __future__ import annotations

import os
from typing import Mapping, Tuple

from ..ports import process_owner
from ..procs import Process, Procs

VARIABLE = "MLXOPS_SERVER"


def new_mark() -> str:
    return os.urandom(8).hex()


def mark_of(procs: Procs, process: Process) -> str:
    """The mark of a process; "" where it has none, or where its environment cannot be seen."""
    return procs.variable(process.pid, VARIABLE)


def marked_processes(procs: Procs, mark: str, table: Mapping[int, Process]) -> Tuple[Process, ...]:
    """This user's living processes with the mark."""
    living = (p for p in process_owner.own_processes(table).values() if mark and not p.zombie)
    return tuple(p for p in living if mark_of(procs, p) == mark)
