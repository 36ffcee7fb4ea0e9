"""init: add the models of the cache to the registry, and adopt running servers."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ..clock import now
from ..context import Context
from ..errors import Failed
from ..jobs.reservations import reserved_entries
from ..models import cache as hfcache
from ..models.location import folder_identity
from ..models.options import LaunchOptions, find_installed, launch_options, require_servable
from ..ports.evidence import PortEvidence, Server
from ..ports.observe import family_record
from ..ports.survey import observe_ports
from ..programs.installed import Installed
from ..registry import init_plan as intake
from ..registry.entries import REQUIRED, Entry, Registry
from ..registry.init_plan import CachedModel, Change, Running, Slots
from ..registry.lock import describe_holder
from ..runtimes.secrets import masked
from ..servers.unrecorded import record_unrecorded
from .rows import change_row


def init(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    dry = bool(args.get("dry_run"))
    noted = record_unrecorded(ctx, ctx.site.ports, dry)
    registry = ctx.store.read()
    ctx.client.emit("phase", phase="scan", message="scanning %s" % ctx.site.hf_home)
    models, evidence = _models(ctx), observe_ports(ctx, registry, ctx.site.ports)
    for one in evidence.values():
        if one.answer.refusal:
            text = "port %d: %s" % (one.port, one.answer.refusal)
            ctx.client.emit("warning", message=text)
    running = [
        _running(port_evidence, port_evidence.proven[0])
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
    }


def _plan(
    ctx: Context,
    registry: Registry,
    models: List[CachedModel],
    running: List[Running],
    slots: Slots,
) -> Tuple[Change, ...]:
    places = {entry.name: folder_identity(entry.cache_path) for entry in registry.entries.values()}
    return intake.plan(registry, models, running, slots, reserved_entries(ctx), places)


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


def _models(ctx: Context) -> List[CachedModel]:
    """Complete MLX chat models. Of a repository in both roots, the first complete copy counts."""
    snapshots = hfcache.scan(ctx.site.hf_home)
    for snapshot in snapshots:
        _warn_if_incomplete(ctx, snapshot)
    for repo_id, why in hfcache.broken_repos(ctx.site.hf_home).items():
        ctx.client.emit("warning", message="skipping %s: %s" % (repo_id, why))
    whole = [s for s in snapshots if s.complete and (s.format, s.kind) == ("mlx", "chat")]
    first = {s.repo_id.lower(): s for s in reversed(whole)}
    there = find_installed(ctx, None)
    if whole and there.flags is None:
        text = "%s does not list its options: no parsers are proposed" % there.runtime.name
        ctx.client.emit("warning", message=text)
    return [_with_defaults(ctx, s, there) for s in whole if first[s.repo_id.lower()] is s]


def _with_defaults(ctx: Context, snapshot: hfcache.Snapshot, there: Installed) -> CachedModel:
    entry = Entry("", {**REQUIRED, "repo_id": snapshot.repo_id, "cache_path": snapshot.path})
    chosen = launch_options(ctx.site, entry, there)
    defaults = chosen.defaults
    notes = (*defaults.notes, *_load_error(ctx, chosen, there))
    return CachedModel(
        repo_id=snapshot.repo_id,
        path=snapshot.path,
        proposed=defaults.values,
        notes=notes,
        place=folder_identity(snapshot.path),
    )


def _load_error(ctx: Context, chosen: LaunchOptions, there: Installed) -> Iterator[str]:
    """It is added anyway: a newer or another runtime may serve it."""
    try:
        require_servable(ctx.site, chosen, there)
    except Failed as exc:
        yield "load will refuse it: " + exc.message


def _warn_if_incomplete(ctx: Context, snapshot: hfcache.Snapshot) -> None:
    """Warn about an incomplete snapshot that may be a chat model."""
    if snapshot.complete or snapshot.format == "gguf" or snapshot.kind not in ("chat", "other"):
        return
    shown, more = ", ".join(snapshot.missing_reasons[:3]), len(snapshot.missing) - 3
    text = "skipping %s: missing or unreadable: %s" % (snapshot.repo_id, shown)
    ctx.client.emit("warning", message=text + (" and %d more" % more if more > 0 else ""))


def _running(evidence: PortEvidence, server: Server) -> Running:
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
    model = server.invocation.model or ""
    return Running(evidence.port, model, record, hfcache.repo_of(model))
