"""init: add the models of this host to the registry, and adopt running servers."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Tuple

from ..catalog.candidates import Candidate, find_candidates
from ..clock import now
from ..context import Context
from ..errors import Unobservable
from ..jobs.reservations import reserved_entries
from ..models import cache as hfcache
from ..models.location import folder_identity, missing_reason
from ..ports.evidence import PortEvidence, Server
from ..ports.expected import read_limit
from ..ports.observe import family_record
from ..ports.survey import observe_ports
from ..registry import init_plan as intake
from ..registry.entries import Registry
from ..registry.init_plan import CachedModel, Change, Running, Slots
from ..registry.lock import describe_holder
from ..runtimes.secrets import masked
from ..servers.unrecorded import record_unrecorded
from .rows import change_row


def init(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    dry = bool(args.get("dry_run"))
    noted = record_unrecorded(ctx, ctx.site.ports, dry)
    registry = ctx.store.read()
    places = ", ".join((ctx.site.hf_home, *ctx.site.model_dirs))
    ctx.client.emit("phase", phase="scan", message="scanning %s" % places)
    found, evidence = find_candidates(ctx, registry), observe_ports(ctx, registry, ctx.site.ports)
    models = [_cached_model(one) for one in found.models]
    for one in evidence.values():
        if one.answer.refusal:
            text = "port %d: %s" % (one.port, one.answer.refusal)
            ctx.client.emit("warning", message=text)
    running = [
        _running(ctx, port_evidence, port_evidence.proven[0])
        for port_evidence in evidence.values()
        if _adoptable(port_evidence)
    ]
    slots = Slots(
        {s.model: s.port for s in ctx.site.slots.values() if s.model}, ctx.site.slot_names
    )
    changes: List[Tuple[Change, ...]] = [_plan(ctx, registry, models, running, slots)]

    def change(current: Registry) -> Registry:
        # Plan again with the registry locked.
        changes[0] = _plan(ctx, current, models, running, slots)
        return intake.apply(current, changes[0])

    if not dry:
        ctx.store.edit("init", change)
    return {
        "actions": [*noted, *(change_row(c, not dry) for c in changes[0])],
        "drift": _not_adopted(evidence, registry),
        "skipped": [one._asdict() for one in found.skipped],
    }


def _plan(
    ctx: Context,
    registry: Registry,
    models: List[CachedModel],
    running: List[Running],
    slots: Slots,
) -> Tuple[Change, ...]:
    places = {entry.name: folder_identity(entry.cache_path) for entry in registry.entries.values()}
    changes = intake.plan(registry, models, running, slots, reserved_entries(ctx), places)
    return tuple(_keep_own_folder(change, registry) for change in changes)


def _keep_own_folder(change: Change, registry: Registry) -> Change:
    """Leave an entry whose model is a folder of its own, also if that is gone."""
    entry = registry.entries.get(change.name)
    if change.action != "refresh" or change.entry is None or entry is None:
        return change
    if not hfcache.is_own_folder(entry.cache_path, entry.repo_id):
        return change
    why = missing_reason(entry.cache_path)
    reason = "it keeps its own folder, %s%s" % (entry.cache_path, " (%s)" % why if why else "")
    return change._replace(entry=None, reason=reason)


def _adoptable(evidence: PortEvidence) -> bool:
    """Whether a server of this user has the port to itself, and more than its command line proves
    it."""
    return bool(evidence.proven) and not (
        evidence.foreign_holders or evidence.unknown or evidence.job
    )


def _not_adopted(evidence: Mapping[int, PortEvidence], registry: Registry) -> List[Dict[str, Any]]:
    """Rows for ports whose servers were not adopted: unobservable, in use by a job, or another
    user's."""
    why = {
        port_evidence.port: "; ".join(port_evidence.unknown)
        or _locked_reason(port_evidence, registry)
        for port_evidence in evidence.values()
    }
    drifts = [("unknown", port, reason) for port, reason in why.items() if reason]
    drifts += [
        ("foreign", port_evidence.port, _others_servers(port_evidence))
        for port_evidence in evidence.values()
        if _others_servers(port_evidence)
    ]
    return [
        {"drift": drift, "port": port, "entry": None, "reason": reason}
        for drift, port, reason in drifts
    ]


def _others_servers(evidence: PortEvidence) -> str:
    """Servers of other users, which only those users can adopt."""
    processes = (
        [one for one in evidence.foreign_processes if one.is_server]
        if evidence.foreign_holders
        else []
    )
    return "; ".join(
        "not adopted: pid %d runs as user %s; run mlxops as %s" % (o.pid, o.user, o.user)
        for o in processes
    )


def _locked_reason(evidence: PortEvidence, registry: Registry) -> str:
    if not evidence.job or not evidence.server or registry.holders(evidence.port):
        return ""
    return "not adopted while a job works on it: " + describe_holder(evidence.job)


def _cached_model(found: Candidate) -> CachedModel:
    return CachedModel(
        repo_id=found.snapshot.repo_id,
        path=found.snapshot.path,
        proposed=found.chosen.defaults.values,
        notes=found.notes,
        place=folder_identity(found.snapshot.path),
        label=found.label,
    )


def _running(ctx: Context, evidence: PortEvidence, server: Server) -> Running:
    launcher = server.launcher
    record: Dict[str, Any] = {
        "pid": launcher.pid,
        "start_time": launcher.start_time,
        "argv": masked(launcher.argv),
        "launched_at": now(),
        "launched_by": "adopted",
        "family": family_record(server.processes, launcher),
    }
    if evidence.answer.health == 200:
        record["ready_at"] = now()
    model = _absolute(ctx, server)
    record.update(read_limit(ctx.procs, server.invocation.runtime, record, model))
    return Running(
        port=evidence.port,
        model=model,
        record=record,
        repo_id=hfcache.repo_of(model),
        place=folder_identity(model),
    )


def _absolute(ctx: Context, server: Server) -> str:
    """The model in the server's command line, with the whole path if it is a relative one."""
    model = server.invocation.model or ""
    try:
        folder = "" if os.path.isabs(model) else ctx.procs.folder(server.process.pid)
    except Unobservable:
        folder = ""
    path = os.path.normpath(os.path.join(folder, model)) if folder and model else model
    return path if os.path.isdir(path) else model
