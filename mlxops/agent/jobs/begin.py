"""A port's job, as a command begins it and as it sees that of another."""

from __future__ import annotations

import os
from typing import Any, ContextManager, Dict, Mapping, Optional

from ..context import Context
from . import job as jobs


def begin(
    ctx: Context, port: int, why: str, again: Optional[str] = None, settles: bool = True
) -> jobs.Job:
    """`again`: the command that repeats a load; for it and `settles` see Job."""
    held = {**_held(ctx, port, why), **({"again": again} if again else {})}
    return jobs.Job(ctx.client, ctx.site.registry, ctx.site.state_dir, held, settles)


def hold_briefly(ctx: Context, port: int, why: str) -> ContextManager[None]:
    """Hold a port's lock for a moment."""
    return jobs.hold_briefly(ctx.site.registry, _held(ctx, port, why))


def _held(ctx: Context, port: int, why: str) -> Mapping[str, Any]:
    own = ctx.procs.process(os.getpid())
    return {**ctx.who, "why": why, "port": port, "start_time": own.start_time if own else None}


def current_job(ctx: Context, port: int) -> Optional[Dict[str, Any]]:
    """What the lock of a port says of the job that holds it; None when nobody does."""
    return jobs.holder(ctx.site.registry, port)


def interrupted_load(ctx: Context, port: int) -> Optional[Dict[str, Any]]:
    """What is known of a load that was killed on the port before its end."""
    return jobs.interrupted_load(ctx.site.registry, port)
