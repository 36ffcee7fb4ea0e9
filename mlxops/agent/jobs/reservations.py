"""The entries reserved by running jobs: a model is loaded on one port at a time and does not change
meanwhile."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, Mapping, Optional

from ..context import Context
from ..errors import Locked, Unobservable
from ..registry.lock import describe_holder
from . import job as jobs
from .log import find_agent


def reserved_entries(ctx: Context) -> Dict[str, int]:
    """entry -> port of the job that works on it or may have to restart it."""
    return {name: port for port, job in _running_jobs(ctx).items() for name in job["entries"]}


def loading_entries(ctx: Context) -> Dict[str, int]:
    """entry -> port of the job that loads it, or works on the port where it is."""
    return {job["entries"][0]: port for port, job in _running_jobs(ctx).items() if job["entries"]}


def require_unreserved(ctx: Context, entries: Iterable[str], port: Optional[int] = None) -> None:
    """Locked if a job on a port other than `port` has reserved one of the entries.

    Binding only under the registry's lock, where jobs make their reservations."""
    names = set(entries)
    for there, job in _running_jobs(ctx).items():
        for name in names.intersection(job["entries"]) if there != port else ():
            raise Locked(
                "%s is in use by a job on port %d: %s" % (name, there, describe_holder(job)),
                jobs.next_step_hint(job),
                entry=name,
                port=there,
                holder=job,
            )


def _running_jobs(ctx: Context) -> Dict[int, Dict[str, Any]]:
    return {
        port: job for port, job in reserving_jobs(ctx.site.registry).items() if _is_alive(ctx, job)
    }


def reserving_jobs(registry_path: str) -> Dict[int, Dict[str, Any]]:
    """port -> job, of every job that works on entries, also on ports of other host files."""
    return {
        port: job
        for port, job in running_jobs(registry_path).items()
        if jobs.is_name_list(job.get("entries"))
    }


def running_jobs(registry_path: str) -> Dict[int, Dict[str, Any]]:
    """port -> job, of every lock beside the registry."""
    folder, name = os.path.split(registry_path)
    locks = [
        file[len(name) + 1 : -len(".lock")]
        for file in os.listdir(folder)
        if file.startswith(name + ".")
    ]
    numbers = [int(port) for port in locks if port.isascii() and port.isdigit()]
    holders = {port: jobs.running_job(registry_path, port) for port in numbers}
    return {port: job for port, job in holders.items() if job}


def _is_alive(ctx: Context, job: Mapping[str, Any]) -> bool:
    """Whether the holder is alive: the text may be the last holder's. Unobservable counts as
    alive."""
    try:
        return find_agent(ctx.procs, job) is not None
    except Unobservable:
        return True


def reserved_bytes(ctx: Context, used_by_port: Mapping[int, int]) -> Dict[int, int]:
    """port -> bytes that the running load needs beyond the memory of the port's servers."""
    needs = {port: job.get("need_bytes") for port, job in _running_jobs(ctx).items()}
    return {
        p: max(0, n - used_by_port.get(p, 0))
        for p, n in needs.items()
        if type(n) is int and 0 <= n < 1 << 60
    }
