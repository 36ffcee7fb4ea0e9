"""Checks of the registry's lock and the ports' locks: who holds them, and whether they can be
taken."""

from __future__ import annotations

import calendar
import os
import shlex
import time
from typing import Any, Iterator, Mapping, Optional

from ..context import Context
from ..errors import Failed
from ..jobs.job import lock_path, next_step_hint
from ..registry.lock import FileLock, describe_holder
from .finding import ERROR, OK, WARNING, Finding

# The registry's lock is held for milliseconds, a port's lock for a download at most.
REGISTRY_S, PORT_S = 10.0, 6 * 3600.0


def registry_lock(ctx: Context) -> Iterator[Finding]:
    registry = ctx.site.registry
    yield _lock("registry lock", registry, registry + ".lock", REGISTRY_S)


def port_locks(ctx: Context) -> Iterator[Finding]:
    """One row per port whose lock is held or cannot be opened."""
    registry = ctx.site.registry
    rows = [
        _lock("port locks", registry, lock_path(registry, port), PORT_S) for port in ctx.site.ports
    ]
    rows = [row for row in rows if row.detail != FREE]
    yield from rows or [Finding("port locks", OK, "no port is locked")]


FREE = "free"


def _lock(check: str, registry: str, path: str, longest_s: float) -> Finding:
    if os.path.isfile(path) and not _opens(path):
        detail = (
            "%s cannot be opened for writing, so nothing that it protects can be changed" % path
        )
        return Finding(
            check,
            ERROR,
            detail,
            "on the host: ls -ld %s; this user must be able to write to it" % shlex.quote(path),
        )
    try:
        holder = FileLock(path, registry=registry).holder(shared=True)
    except Failed as exc:
        return Finding(check, ERROR, exc.message, exc.hint)
    return (
        Finding(check, OK, FREE)
        if holder is None
        else lock_row(check, path, holder, longest_s, time.time())
    )


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def lock_row(
    check: str, path: str, holder: Mapping[str, Any], longest_s: float, now: float
) -> Finding:
    """The row of a held lock: a warning once it has been held for too long. `now` in epoch
    seconds."""
    if holder.get("outsider"):
        return Finding(
            check,
            WARNING,
            "%s is %s" % (os.path.basename(path), describe_holder(holder)),
            next_step_hint(holder),
        )
    detail = "%s is held: %s (pid %s)" % (
        os.path.basename(path),
        describe_holder(holder),
        holder.get("pid", "unknown"),
    )
    age = age_s(holder.get("since"), now)
    if age is None or age <= longest_s:
        return Finding(check, OK, detail)
    ends = "on the host, check pid %s; ending it frees the lock" % holder.get("pid", "unknown")
    return Finding(check, WARNING, detail, next_step_hint(holder) if holder.get("job") else ends)


def age_s(since: Any, now: float) -> Optional[float]:
    """Seconds since a time in the form of `clock.now`; None for anything else."""
    try:
        return now - calendar.timegm(time.strptime(since, "%Y-%m-%dT%H:%M:%SZ"))
    except (TypeError, ValueError, OverflowError):
        return None
