"""Record servers that the registry could not record on a full disk; the next command does it.

Such a server is known from its port's lock, else from the registry's record of the port."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..clock import now
from ..context import Context
from ..errors import MlxopsError
from ..jobs import job as jobs
from ..jobs.begin import begin
from ..ports.diagnosis import mismatch
from ..ports.evidence import PortEvidence, Server
from ..ports.observe import family_record
from ..ports.survey import observe_port
from ..procs import Unobservable
from ..registry.entries import Entry, Registry


def record_unrecorded(
    ctx: Context, ports: Iterable[int], dry: bool = False
) -> List[Dict[str, Any]]:
    """Record them; returns a row per server, as in the answer of reconcile."""
    registry = ctx.store.read()
    rows = []
    for port in ports:
        if jobs.unrecorded_server(ctx.site.registry, port) or _out_of_date(ctx, registry, port):
            entry = _served(ctx, registry, port)
            if entry is not None:
                rows.append(_row(entry, port, False if dry else _noted(ctx, port)))
    return rows


def _row(entry: Entry, port: int, applied: bool) -> Dict[str, Any]:
    reason = "pid %s serves it and was not in the registry" % (entry.process or {}).get("pid")
    return {
        "action": "note",
        "entry": entry.name,
        "port": port,
        "reason": reason,
        "applied": applied,
    }


def _out_of_date(ctx: Context, registry: Registry, port: int) -> bool:
    """Whether an assignment's recorded process is gone: only then look for the server of the
    port."""
    for entry in registry.holders(port):
        record = entry.process or {}
        pid = record.get("pid")
        try:
            process = ctx.procs.process(pid) if type(pid) is int and 0 < pid < 1 << 31 else None
        except Unobservable:
            return False
        return process is None or process.zombie or process.start_time != record.get("start_time")
    return False


def _noted(ctx: Context, port: int) -> bool:
    """Look again while holding the port's lock: an earlier look may be outdated."""
    why = "note what serves on %d" % port
    try:
        with begin(ctx, port, why, settles=False) as job:
            entry = _served(ctx, ctx.store.read(), port, own_lock=True)
            if entry is not None:
                ctx.store.edit(why, lambda current: _with(current, entry, port))
                job.clear_unrecorded()
            return entry is not None
    except MlxopsError:
        # Locked, or still no space: continue with the command.
        return False


def _with(current: Registry, entry: Entry, port: int) -> Registry:
    there = current.entries.get(entry.name)
    if there is None or there.port not in (None, port):
        return current
    return current.assign(entry.name, port, entry.process)


def _served(ctx: Context, registry: Registry, port: int, own_lock: bool = False) -> Optional[Entry]:
    """The entry that is served, with the record of its server; None if there is any doubt."""
    evidence = observe_port(ctx, registry, port)
    server = evidence.server
    if (
        evidence.unknown
        or evidence.foreign_listeners
        or evidence.recorded
        or (evidence.job and not own_lock)
    ):
        return None
    if server is None or not evidence.listeners or server not in evidence.proven:
        return None
    lock_record = jobs.unrecorded_server(ctx.site.registry, port, own_lock)
    return _by_lock(registry, lock_record, server, port) or _by_model(registry, evidence, server)


def _by_lock(
    registry: Registry, lock_record: Optional[Mapping[str, Any]], server: Server, port: int
) -> Optional[Entry]:
    """The job that started it left its exact process in the lock."""
    if lock_record is None:
        return None
    entry, record = registry.entries.get(lock_record["entry"]), lock_record["process"]
    leader = [
        p
        for p in server.processes
        if (p.pid, p.start_time) == (record.get("pid"), record.get("start_time"))
    ]
    if entry is None or entry.port not in (None, port) or not leader:
        return None
    known = server.invocation.model in (entry.cache_path, entry.repo_id, entry.model_id)
    record = {**record, "ready_at": now(), "family": family_record(server.processes, leader[0])}
    return entry.with_fields(process=record) if known else None


def _by_model(registry: Registry, evidence: PortEvidence, server: Server) -> Optional[Entry]:
    """The assigned entry if the running server matches it; if that entry's server is gone, the one
    entry that matches."""
    holders = registry.holders(evidence.port)
    if len(holders) != 1 or not holders[0].process:
        return None
    free = [e for e in registry.entries.values() if e.port is None]
    fitting = [e for e in (*holders, *free) if not mismatch(evidence, e, None)]
    alone = fitting[:1] if fitting[:1] == list(holders) else fitting
    return alone[0].with_fields(process=_record(alone[0], server)) if len(alone) == 1 else None


def _record(entry: Entry, server: Server) -> Dict[str, Any]:
    """The record of the server; its `launched_by` is kept if the command line is unchanged."""
    launcher, before = server.launcher, entry.process or {}
    argv = list(launcher.argv)
    by = before.get("launched_by") if before.get("argv") == argv else None
    return {
        "pid": launcher.pid,
        "start_time": launcher.start_time,
        "argv": argv,
        "launched_at": now(),
        "launched_by": by or "adopted",
        "ready_at": now(),
        "family": family_record(server.processes, launcher),
    }
