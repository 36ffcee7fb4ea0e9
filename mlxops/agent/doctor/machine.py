"""Checks of the machine: disk, memory, visibility of processes, and other programs on the ports."""

from __future__ import annotations

import os
from typing import Iterator, List, Tuple

from ..context import Context
from ..hub.checks import format_size
from ..ports.evidence import NO_ANSWER, PortEvidence
from ..ports.observe import Snapshot, find_servers, foreign_processes, foreign_servers, scan
from ..procs import LaunchdJob, Unobservable, ancestors
from ..runtimes.table import recognise
from ..site import Site
from .finding import ERROR, OK, WARNING, Finding

GB, GIB = 10**9, 1 << 30
# Below the first a download is refused; below the second hardly any model fits.
DISK_ERROR, DISK_WARNING = 1 * GB, 20 * GB
MEMORY_WARNING = 4 * GIB
# Below the first a load is refused: no space for the registry and its logs.
STATE_DISK_ERROR, STATE_DISK_WARNING = 2 << 20, 64 << 20
INODES_ERROR, INODES_WARNING = 50, 1000
DISK_HINT = "on the host: free space at %s for the registry and the logs (df -h; df -i; du -sh %s)"
UNSEEN_HINT = (
    "mlxops changes nothing while this fails: mount /proc without hidepid (Linux), or make lsof and"
    " ps work"
)


def disk(ctx: Context) -> Iterator[Finding]:
    """Check the disks of the models, of the registry, and of logs and jobs, each once."""
    site, devices = ctx.site, set()
    for place in (site.cache_root, os.path.dirname(site.registry), site.state_dir):
        while not os.path.isdir(place) and place != os.path.dirname(place):
            place = os.path.dirname(place)
        device, room = os.stat(place).st_dev, os.statvfs(place)
        if device not in devices:
            free = room.f_bavail * room.f_frsize
            yield disk_row(place, free) if place == site.cache_root else state_disk_row(place, free)
            if room.f_files:
                yield from inode_rows(place, room.f_favail)
        devices.add(device)


def disk_row(place: str, free_bytes: int) -> Finding:
    detail = "%s free at %s" % (format_size(free_bytes), place)
    verdict = ERROR if free_bytes < DISK_ERROR else WARNING if free_bytes < DISK_WARNING else OK
    return Finding(
        "disk",
        verdict,
        detail,
        "" if verdict == OK else "mlxops disk shows what can be removed",
    )


def state_disk_row(place: str, free_bytes: int) -> Finding:
    """The row of a disk without models, which needs space for the registry, locks and logs."""
    detail = "%s free at %s" % (format_size(free_bytes), place)
    verdict = (
        ERROR
        if free_bytes < STATE_DISK_ERROR
        else WARNING
        if free_bytes < STATE_DISK_WARNING
        else OK
    )
    return Finding("disk", verdict, detail, "" if verdict == OK else DISK_HINT % (place, place))


def inode_rows(place: str, free: int) -> Iterator[Finding]:
    """A row if few inodes are free."""
    if free < INODES_WARNING:
        detail = "%d inodes (files and folders) free at %s" % (free, place)
        yield Finding(
            "disk", ERROR if free < INODES_ERROR else WARNING, detail, DISK_HINT % (place, place)
        )


def memory(ctx: Context) -> Iterator[Finding]:
    figures = ctx.procs.memory()
    yield memory_row(figures.total_bytes, figures.available_bytes, figures.wired_limit_bytes or 0)


def memory_row(total: int, available: int, wired_limit: int) -> Finding:
    """All in bytes; a wired limit of 0: the default of the system."""
    limit = ", wired limit %s" % _gib(wired_limit) if wired_limit else ""
    detail = "%s of %s available%s" % (_gib(available), _gib(total), limit)
    if available >= min(MEMORY_WARNING, total):
        return Finding("memory", OK, detail)
    return Finding("memory", WARNING, detail, "mlxops status, then mlxops unload PORT")


def process_visibility(ctx: Context) -> Iterator[Finding]:
    """Check that processes and listeners are visible: every decision depends on them."""
    snapshot = scan(ctx.procs, ctx.site.ports)
    for reason in snapshot.unknown:
        yield Finding("processes", ERROR, reason, UNSEEN_HINT)
    if not snapshot.unknown:
        own = len(snapshot.listeners or ())
        yield Finding(
            "processes",
            OK,
            "visible: %d processes, and %d listener%s on the ports"
            % (len(snapshot.processes), own, "" if own == 1 else "s"),
        )


def foreign_listeners(ctx: Context) -> Iterator[Finding]:
    """Check for processes on the ports that are not model servers of this user."""
    snapshot = _scan_all(ctx)
    servers = find_servers(snapshot.processes, ctx.site.runtimes)
    others = foreign_servers(snapshot.processes, ctx.site.runtimes)
    count = 0
    for port in ctx.site.ports:
        here = tuple(ln for ln in snapshot.listeners or () if ln.port == port)
        alien = foreign_processes(
            snapshot, port, [server.process for server in others.get(port, ())]
        )
        evidence = PortEvidence(
            port=port,
            listeners=here,
            servers=servers.get(port, ()),
            recorded=None,
            orphan_workers=(),
            answer=NO_ANSWER,
            job=None,
            unknown=(),
            foreign_processes=alien,
        )
        if evidence.foreign_use:
            count += 1
            text = "port %d is %s" % (port, evidence.foreign_use)
            hint = "mlxops show %d" % port
            yield Finding("foreign listeners", ERROR, text, hint)
    if not count:
        yield Finding("foreign listeners", OK, "none on the ports")


def launchd(ctx: Context) -> Iterator[Finding]:
    """Check for launchd jobs that serve one of the ports, or would: only root can stop them."""
    snapshot = _scan_all(ctx)
    jobs = ctx.procs.launchd_jobs()
    holding = [(job, ports) for job in jobs for ports in [_ports(job, snapshot, ctx.site)] if ports]
    for job, ports in holding:
        detail = "%s uses port %s: load and unload are refused there" % (
            job.label,
            ", ".join(map(str, ports)),
        )
        fix = "on the host: sudo launchctl bootout %s/%s" % (job.domain, job.label)
        yield Finding("launchd jobs", WARNING, detail, fix)
    if not holding:
        yield Finding(
            "launchd jobs", OK, "%d jobs, none on the ports" % len(jobs) if jobs else "none"
        )


def _ports(job: LaunchdJob, snapshot: Snapshot, site: Site) -> Tuple[int, ...]:
    """The host's ports that a job's processes listen on, or that its command line names."""
    named = recognise(job.program, site.runtimes)
    numbers: List[int] = [named.port] if named and named.port in site.ports else []
    for listener in snapshot.listeners or ():
        line = {listener.pid, *(p.pid for p in ancestors(snapshot.processes, listener.pid or 0))}
        if job.pid is not None and job.pid in line:
            numbers.append(listener.port)
    return tuple(sorted(set(numbers)))


def _scan_all(ctx: Context) -> Snapshot:
    snapshot = scan(ctx.procs, ctx.site.ports)
    if snapshot.unknown:
        raise Unobservable("; ".join(snapshot.unknown))
    return snapshot


def _gib(size: int) -> str:
    return "%.1f GiB" % (size / GIB)
