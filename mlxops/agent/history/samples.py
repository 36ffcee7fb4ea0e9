"""Samples of memory and requests, a line each, taken by reconcile and at the end of a load.

A line is {"at", "whole", "total_bytes", "available_bytes", "ports": {"8100": {...}}}, a port
{"entry", "memory_bytes", "connections", "requests", "log"}. `requests`: those in the server's own
log since its start; None if it logs none. `log`: [inode, size] up to which they are counted.
`whole`: ports that are not listed had no server."""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..clock import epoch, now
from ..context import Context
from ..errors import MlxopsError
from ..line_file import Records, append, read_newest
from ..ports.evidence import PortEvidence
from ..procs import Process, Traffic, Unobservable, tree
from ..registry.entries import Registry
from ..site import log_path

FILE = "samples.jsonl"
# Three weeks of ten ports every five minutes; one older file is kept.
MAX_BYTES = 4 << 20
# The newest lines, which show up to where logs were counted.
RECENT_BYTES = 64 << 10
MIN_INTERVAL_S = 55.0
# Of a log, per sample; what a server writes beyond that is not counted.
MAX_COUNTED_BYTES = 8 << 20
# The access line that uvicorn and Python's http.server write for a request that a model answers.
REQUEST = re.compile(rb'"POST /v1/\S* HTTP/')
ACCESS = re.compile(rb'"[A-Z]{3,7} /\S* HTTP/')
# What may fail in a look that is only worth a sample.
UNSURE = (MlxopsError, OSError, Unobservable)

Sample = Mapping[str, Any]


class Served(NamedTuple):
    """The server of a port, and its entry if there is one."""

    port: int
    entry: Optional[str]
    processes: Sequence[Process]


def samples_path(state_dir: str) -> str:
    return os.path.join(state_dir, FILE)


def read_samples(state_dir: str, max_bytes: int = 2 * MAX_BYTES) -> Records:
    """The samples, oldest first."""
    lines = read_newest(samples_path(state_dir), max_bytes)
    return lines._replace(records=[one for one in lines.records if _is_sample(one)])


def _is_sample(line: Sample) -> bool:
    ports = line.get("ports")
    return epoch(line.get("at")) is not None and isinstance(ports, dict)


def sample_all(ctx: Context, registry: Registry, evidence: Mapping[int, PortEvidence]) -> None:
    """Take a sample of every port, unless the last one is recent. Never fails."""
    last = _recent(ctx)
    whole = [one for one in last if one.get("whole") is True]
    age = (epoch(now()) or 0.0) - (epoch(whole[-1]["at"]) or 0.0) if whole else MIN_INTERVAL_S
    if 0 <= age < MIN_INTERVAL_S:
        return
    found = []
    for port, seen in evidence.items():
        holders = registry.holders(port)
        if seen.server is not None:
            name = holders[0].name if holders else None
            found.append(Served(port, name, seen.server.processes))
    try:
        _record(ctx, found, last, whole=True)
    except UNSURE:
        return


def sample_started(ctx: Context, port: int, entry: str) -> Optional[int]:
    """Take a sample of a server that is ready now; its memory, None if unknown. Never fails."""
    try:
        record = ctx.store.read().entries[entry].process or {}
        processes = tree(ctx.procs.processes(), int(record.get("pid") or 0))
        if not processes:
            return None
        row = _record(ctx, [Served(port, entry, processes)], _recent(ctx), whole=False)
        return number(row["ports"][str(port)]["memory_bytes"])
    except (*UNSURE, KeyError):
        return None


def number(value: Any) -> Optional[int]:
    return value if type(value) is int and 0 <= value < 1 << 60 else None


def _recent(ctx: Context) -> List[Dict[str, Any]]:
    return read_samples(ctx.site.state_dir, RECENT_BYTES).records


def _record(
    ctx: Context, found: Iterable[Served], last: Sequence[Sample], whole: bool
) -> Dict[str, Any]:
    servers = list(found)
    memory, traffic = _memory(ctx), _traffic(ctx, [one.port for one in servers])
    row: Dict[str, Any] = {
        "at": now(),
        "whole": whole,
        **memory,
        "ports": {
            str(one.port): {
                "entry": one.entry,
                "memory_bytes": ctx.procs.footprint(one.processes),
                "connections": traffic[one.port].established if one.port in traffic else None,
                **_requests(log_path(ctx.site.state_dir, one.port), _last_of(last, one.port)),
            }
            for one in servers
        },
    }
    for port in () if whole else row["ports"].values():
        # The server has just started: mlxops sent what it has answered so far.
        port["requests"] = None if port["requests"] is None else 0
    append(samples_path(ctx.site.state_dir), row, MAX_BYTES)
    return row


def _memory(ctx: Context) -> Dict[str, Any]:
    try:
        memory = ctx.procs.memory()
    except UNSURE:
        return {"total_bytes": None, "available_bytes": None}
    return {"total_bytes": memory.total_bytes, "available_bytes": memory.available_bytes}


def _traffic(ctx: Context, ports: Sequence[int]) -> Dict[int, Traffic]:
    try:
        return ctx.procs.traffic(ports) if ports else {}
    except UNSURE:
        return {}


def _last_of(last: Sequence[Sample], port: int) -> Mapping[str, Any]:
    of_port = (one["ports"].get(str(port)) for one in reversed(last))
    return next((row for row in of_port if isinstance(row, dict)), {})


def _requests(log: str, last: Mapping[str, Any]) -> Dict[str, Any]:
    """The requests in the log since the server's start, counted on from the last sample."""
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {"requests": None, "log": None}
    try:
        was = os.fstat(fd)
        if not stat.S_ISREG(was.st_mode):
            return {"requests": None, "log": None}
        before, start = _counted(last, was)
        start = max(start, was.st_size - MAX_COUNTED_BYTES)
        part = os.pread(fd, was.st_size - start, start)
        # A line that is not complete yet is counted by the next sample.
        end = part.rfind(b"\n") + 1
        known = before is not None or ACCESS.search(part, 0, end)
        count = len(REQUEST.findall(part, 0, end)) + (before or 0)
        return {"requests": count if known else None, "log": [was.st_ino, start + end]}
    finally:
        os.close(fd)


def _counted(last: Mapping[str, Any], was: os.stat_result) -> Tuple[Optional[int], int]:
    """The requests counted so far, and up to where; from the beginning for another file."""
    log, before = last.get("log"), number(last.get("requests"))
    same = isinstance(log, list) and len(log) == 2 and log[0] == was.st_ino
    end = number(log[1]) if same and isinstance(log, list) else None
    if end is None:
        return None, 0
    # A log that was truncated goes on with the same count.
    return before, end if end <= was.st_size else 0
