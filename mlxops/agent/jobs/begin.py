"""Begin a job on a port, and look at the jobs of others."""

from __future__ import annotations

import os
from typing import Any, ContextManager, Dict, List, Mapping, Optional

from ..context import Context
from . import job as jobs


def begin(
    ctx: Context,
    port: int,
    why: str,
    again: Optional[str] = None,
    settles: bool = True,
    start_id: Optional[str] = None,
    entry: Optional[str] = None,
) -> jobs.Job:
    """A new job, not yet entered; `again`, `settles`, `start_id` and `entry` as for Job."""
    more = {"again": again, "start_id": start_id, "entry": entry}
    holder = {**_holder(ctx, port, why), **{key: text for key, text in more.items() if text}}
    return jobs.Job(ctx.client, ctx.site.registry, ctx.site.state_dir, holder, settles)


def hold_briefly(ctx: Context, port: int, why: str) -> ContextManager[None]:
    """Hold a port's lock for a moment."""
    return jobs.hold_briefly(ctx.site.registry, _holder(ctx, port, why))


def _holder(ctx: Context, port: int, why: str) -> Mapping[str, Any]:
    own = ctx.procs.process(os.getpid())
    return {**ctx.who, "why": why, "port": port, "start_time": own.start_time if own else None}


def current_job(ctx: Context, port: int) -> Optional[Dict[str, Any]]:
    """The job that holds the port's lock, as the lock describes it; None if the port is free."""
    return jobs.holder(ctx.site.registry, port)


def running_jobs(ctx: Context) -> List[str]:
    """The ids of the jobs that hold a port's lock."""
    holders = (jobs.running_job(ctx.site.registry, port) for port in ctx.site.ports)
    return [str(holder["job"]) for holder in holders if holder and holder.get("job")]


def interrupted_load(ctx: Context, port: int) -> Optional[Dict[str, Any]]:
    """The load that was killed on the port before its end, if any."""
    return jobs.interrupted_load(ctx.site.registry, port)
