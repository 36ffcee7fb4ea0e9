"""Checks of the registry: the file, its assignments, and the snapshots it names."""

from __future__ import annotations

import os
import shlex
import stat
from typing import Dict, Iterator, Tuple

from ..catalog.candidates import unlisted_revisions
from ..context import Context
from ..errors import MlxopsError, mlxops_command
from ..models import cache as hfcache
from ..models.completeness import remember_damage
from ..models.location import gone_reason
from ..ports.expected import outside_warning, wanted_outside
from ..ports.portname import namesakes
from ..registry.entries import Entry, Registry
from .finding import ERROR, OK, WARNING, Finding, join_some


def registry(ctx: Context) -> Iterator[Finding]:
    path = ctx.site.registry
    try:
        entries = ctx.store.read().entries
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except MlxopsError as exc:
        yield Finding("registry", ERROR, exc.message, exc.hint or "correct %s on the host" % path)
    except FileNotFoundError:
        yield Finding("registry", WARNING, "%s does not exist yet" % path, "mlxops init")
    else:
        for one in namesakes(ctx.site, ctx.store.read()):
            detail = "the entry %s has the name of the slot of port %d"
            detail = detail % (one.entry.name, one.slot.port)
            yield Finding("registry", WARNING, detail, one.fix)
        assigned = sum(1 for entry in entries.values() if entry.port is not None)
        yield Finding(
            "registry", OK, "%s: %d entries, %d assigned" % (path, len(entries), assigned)
        )
        if mode & stat.S_IWOTH:
            detail = "every user can write to %s (mode %o)" % (path, mode)
            yield Finding(
                "registry", ERROR, detail, "on the host: chmod o-w %s" % shlex.quote(path)
            )


def assignments(ctx: Context) -> Iterator[Finding]:
    """Check that no port has two entries, and that every port is one of the host's."""
    content = ctx.store.read()
    for port, names in content.duplicates().items():
        fix = "mlxops unload %d, then load the model you want there" % port
        yield Finding(
            "assignments", ERROR, "port %d is assigned to %s" % (port, " and ".join(names)), fix
        )
    wants = list(_wants(ctx, content))
    yield from wants
    strays = [
        e.name
        for e in content.entries.values()
        if e.port is not None and e.port not in ctx.site.ports
    ]
    if strays:
        detail = "on a port that is not one of this host's: " + join_some(strays)
        yield Finding(
            "assignments",
            WARNING,
            detail,
            "mlxops reconcile, or add the port to `ports` in the host file",
        )
    if not (strays or wants or content.duplicates()):
        yield Finding("assignments", OK, "no port is assigned twice")


def _wants(ctx: Context, content: Registry) -> Iterator[Finding]:
    """Ports that two entries want, and entries that want a port that the host does not have."""
    for port in ctx.site.ports:
        names = [entry.name for entry in content.wanting(port)]
        if len(names) > 1:
            detail = "port %d is wanted by %s" % (port, " and ".join(names))
            fix = "load the one you want there: %s" % mlxops_command("load", names[0], port)
            yield Finding("assignments", ERROR, detail, fix)
    # One that is assigned there has a finding of its own.
    outside = (e for e in wanted_outside(content, ctx.site.ports) if e.port != e.wanted)
    for entry in outside:
        fix = "%s, then load it on a port of this host, or add the port to `ports` in the host file"
        show = mlxops_command("show", entry.name)
        yield Finding("assignments", WARNING, outside_warning(entry), fix % show)


def snapshots(ctx: Context) -> Iterator[Finding]:
    """Check the snapshots. An entry without a path is not downloaded yet, which is not a fault."""
    faults: Dict[str, Dict[str, Entry]] = {}
    entries = [entry for entry in ctx.store.read().entries.values() if entry.cache_path]
    for entry in entries:
        fault, why = _fault(ctx, os.path.expanduser(entry.cache_path))
        if fault:
            faults.setdefault(fault, {})["%s (%s)" % (entry.name, why)] = entry
    for fault, hit in faults.items():
        verdict = ERROR if any(entry.port is not None for entry in hit.values()) else WARNING
        fix = _restore(next(iter(hit.values())))
        yield Finding("snapshots", verdict, "%s: %s" % (fault, join_some(list(hit))), fix)
    for repo_id, commands in unlisted_revisions(ctx, entries).items():
        if commands:
            text = "refs/main of %s is not complete here, another revision is" % repo_id
            yield Finding("snapshots", WARNING, text, " or ".join(commands))
    if not faults:
        text = "%d of %d entries, all complete" % (len(entries), len(entries))
        yield Finding("snapshots", OK, text if entries else "no entries")


def _restore(entry: Entry) -> str:
    """What brings an entry's files back, or the command that removes it."""
    port = next((p for p in (entry.port, entry.wanted, entry.slot) if p is not None), None)
    remove, first = mlxops_command("remove", entry.name), "mount its disk or restore its files"
    if hfcache.is_own_folder(entry.cache_path, entry.repo_id):
        return "%s; or %s" % (first, remove)
    again = mlxops_command("pull", entry.name)
    if port is not None:
        again = mlxops_command("load", entry.name, port, "--download")
    return "%s, or download them again: %s; or %s" % (first, again, remove)


def _fault(ctx: Context, path: str) -> Tuple[str, str]:
    """The kind of fault, "" for none, and its details."""
    gone = gone_reason(path)
    if gone:
        return "snapshot is missing", gone
    try:
        snapshot = hfcache.inspect(path)
        remember_damage(ctx.site.state_dir, path, snapshot.faults)
    except OSError as exc:
        return "snapshot cannot be read", exc.strerror or "unreadable"
    return (
        ("", "")
        if snapshot.complete
        else ("snapshot is incomplete", join_some(snapshot.fault_texts))
    )
