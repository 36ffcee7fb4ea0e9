"""A port's job, as a command begins it and as it sees that of another."""

from __future__ import annotations

import os
from typing import Any, ContextManager, Dict, Mapping, Optional

from ..context import Command
from . import job as jobs


def begin(command: Command, port: int, why: str, again: Optional[str] = None, settles: bool = True) -> jobs.Job:
    """`again`: the command that repeats a load; for it and `settles` see Job."""
    held = {**_held(command, port, why), **({"again": again} if again else {})}
    return jobs.Job(command.client, command.site.registry, command.site.state_dir, held, settles)


def hold_briefly(command: Command, port: int, why: str) -> ContextManager[None]:
    """Hold a port's lock for a moment."""
    return jobs.brief(command.site.registry, _held(command, port, why))


def _held(command: Command, port: int, why: str) -> Mapping[str, Any]:
    own = command.procs.process(os.getpid())
    return {**command.who, "why": why, "port": port, "start_time": own.start_time if own else None}


def job_of(command: Command, port: int) -> Optional[Dict[str, Any]]:
    """What the lock of a port says of the job that holds it; None when nobody does."""
    return jobs.holder(command.site.registry, port)


def cut_off(command: Command, port: int) -> Optional[Dict[str, Any]]:
    """What is known of a load that was killed on the port before its end."""
    return jobs.cut_off(command.site.registry, port)
