"""The registry as a file and as a statement about the host."""

from __future__ import annotations

import os
import shlex
import stat
from typing import Dict, Iterator, Tuple

from ..context import Context
from ..errors import MlxopsError, mlxops_command
from ..models import cache as hfcache
from ..models.location import missing_reason
from ..registry.entries import Entry
from .finding import ERROR, OK, WARNING, Finding, join_some


def registry(ctx: Context) -> Iterator[Finding]:
    path = ctx.site.registry
    try:
        entries = ctx.store.read().entries
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except MlxopsError as exc:
        yield Finding("registry", ERROR, exc.message, exc.hint or "mend %s on the host" % path)
    except FileNotFoundError:
        yield Finding("registry", WARNING, "there is no %s yet" % path, "mlxops init")
    else:
        assigned = sum(1 for entry in entries.values() if entry.port is not None)
        yield Finding(
            "registry", OK, "%s: %d entries, %d assigned" % (path, len(entries), assigned)
        )
        if mode & stat.S_IWOTH:
            seen = "%s can be written by everybody (mode %o)" % (path, mode)
            yield Finding("registry", ERROR, seen, "on the host: chmod o-w %s" % shlex.quote(path))


def assignments(ctx: Context) -> Iterator[Finding]:
    """One port, one model; and only ports that are the host's."""
    found = ctx.store.read()
    for port, names in found.duplicates().items():
        mend = "mlxops unload %d, then load the one that is meant" % port
        yield Finding(
            "assignments", ERROR, "port %d is assigned to %s" % (port, " and ".join(names)), mend
        )
    strays = [
        e.name
        for e in found.entries.values()
        if e.port is not None and e.port not in ctx.site.ports
    ]
    if strays:
        seen = "on a port that is not this host's: " + join_some(strays)
        yield Finding(
            "assignments", WARNING, seen, "mlxops reconcile, or widen ports in the host file"
        )
    if not strays and not found.duplicates():
        yield Finding("assignments", OK, "no port is assigned twice")


def snapshots(ctx: Context) -> Iterator[Finding]:
    """An entry without a path is one that nobody has downloaded yet, which is no fault."""
    faults: Dict[str, Dict[str, Entry]] = {}
    entries = [entry for entry in ctx.store.read().entries.values() if entry.cache_path]
    for entry in entries:
        fault, why = _fault(os.path.expanduser(entry.cache_path))
        if fault:
            faults.setdefault(fault, {})["%s (%s)" % (entry.name, why)] = entry
    for fault, hit in faults.items():
        verdict = ERROR if any(entry.port is not None for entry in hit.values()) else WARNING
        name = next(iter(hit.values())).name
        again = mlxops_command("load", name, "PORT", "--download")
        mend = "restore its files; or download it again: %s; or %s" % (
            again,
            mlxops_command("remove", name),
        )
        yield Finding("snapshots", verdict, "%s: %s" % (fault, join_some(list(hit))), mend)
    if not faults:
        yield Finding("snapshots", OK, "%d of %d entries, all whole" % (len(entries), len(entries)))


def _fault(path: str) -> Tuple[str, str]:
    """The kind of fault, "" for none, and what it is about."""
    gone = missing_reason(path)
    if gone:
        return "the snapshot is gone", gone
    try:
        found = hfcache.inspect(path)
    except OSError as exc:
        return "the snapshot cannot be read", exc.strerror or "unreadable"
    return (
        ("", "")
        if found.complete
        else ("the snapshot lacks files", join_some(found.missing_reasons))
    )
