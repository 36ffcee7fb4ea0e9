"""load, restart: load a model on a port; if that fails, restart the previous one."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import (
    AssignmentConflict,
    Failed,
    MlxopsError,
    PortBusy,
    mlxops_command,
    to_mlxops_error,
)
from ..history.samples import sample_started
from ..hub.checks import format_size
from ..hub.fetch import download_in_job
from ..jobs.begin import begin, interrupted_load
from ..jobs.disk_space import LOAD_EDITS, DiskReservation, disk_reservation
from ..jobs.job import Job
from ..jobs.reservations import require_unreserved
from ..jobs.starts import forget_starts
from ..load import evict, refusals, startable
from ..load.memory import memory_refusal, require_still_fits
from ..load.preflight import check_assignment, plan_load
from ..load.request import LoadPlan, LoadRequest
from ..load.restart import flag_changes, spec_of_entry
from ..load.swap import swap
from ..models import harmony
from ..models.options import choose_options
from ..ports.survey import PortSurvey, survey
from ..registry.action import Action
from ..registry.entries import Entry, Registry
from ..runtimes.launch import write_template_copy
from ..servers.current_state import interrupted_error
from ..servers.start import ServerSpec, StartedServer
from ..servers.startup_time import estimate_startup
from ..servers.unrecorded import record_unrecorded
from ..servers.vacate import describe_occupants


def load(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    return _perform(ctx, LoadRequest.from_wire(args))


def restart(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Load what each port serves, or lost, once more; one port after the other. A failure on one
    does not affect the others."""
    rows = [_attempt_restart(ctx, port, args) for port in ctx.ports(args["ports"])]
    if ctx.client.cancelled and not all(row["ok"] for row in rows):
        raise interrupted_error(ctx, rows, "restarted")
    return {"ports": rows}


def _attempt_restart(ctx: Context, port: int, args: Mapping[str, Any]) -> Dict[str, Any]:
    row: Dict[str, Any] = {"port": port, "entry": None, "changed": False}
    try:
        ctx.client.check()
        request = _restart_request(ctx, port, args)
        row["entry"] = request.model
        row.update(_perform(ctx, request))
    except Exception as exc:  # reported in this port's row, so that the others are reported too
        row["refused"] = to_mlxops_error(exc).to_wire()
    error = row.pop("refused")
    return {**row, "ok": error is None, "error": error}


def _restart_request(ctx: Context, port: int, args: Mapping[str, Any]) -> LoadRequest:
    """The load of the port's own entry; an error if it has none, or two."""
    registry = ctx.store.read()
    entries = registry.holders(port) or registry.lost(port)
    if not entries:
        raise _nothing_to_restart(survey(ctx, port, own_lock=False))
    if len(entries) > 1:
        names = " and ".join(entry.name for entry in entries)
        text = "cannot tell what to restart on port %d: it belongs to %s" % (port, names)
        hint = mlxops_command("load", entries[0].name, port, "--replace")
        raise AssignmentConflict(text, hint, port=port)
    given = {"model": entries[0].name, "port": port, "replace": True, **args}
    keep = entries[0].wanted == port
    return LoadRequest.from_wire(given)._replace(restart=True, keep=keep)


def _nothing_to_restart(port_survey: PortSurvey) -> MlxopsError:
    port, server = port_survey.evidence.port, port_survey.server
    if server is None:
        text = "port %d is free: there is nothing to restart" % port
        return Failed(text, mlxops_command("load", "NAME", port), port=port)
    pid, model = server.process.pid, server.invocation.model or "its default model"
    text = "pid %d serves %s on port %d, but no entry is assigned to it" % (pid, model, port)
    hint = "mlxops init to adopt it, then restart it"
    return PortBusy(text, hint, port=port, pid=pid)


def _perform(ctx: Context, request: LoadRequest) -> Dict[str, Any]:
    began = time.monotonic()
    ctx.report("checking %s for port %d" % (request.model, request.port))
    if not request.dry_run:
        record_unrecorded(ctx, [ctx.site.require_port(request.port)])
    plan = plan_load(ctx, request, own_lock=False)
    evict.require_movable(ctx, plan)
    plan = startable.check_programs(ctx, plan) if request.dry_run else plan
    started: Optional[StartedServer] = None
    evicted: List[Dict[str, Any]] = []
    # If the port already serves the model, a load only records that it is wanted there, and clears
    # the report of an interrupted load.
    to_do = not plan.already_served or plan.only_keeps or interrupted_load(ctx, request.port)
    if not request.dry_run and to_do:
        start_id = request.start_id
        job = begin(
            ctx,
            request.port,
            request.why,
            again=request.retry_command,
            start_id=start_id,
            entry=plan.entry.name,
        )
        # This guard is for a failure to end the job itself; the one in _load undoes its steps.
        with job.undo.guard(), job:
            # The first plan was made without the port's lock.
            plan = plan_load(ctx, plan.request, own_lock=True)
            if not start_id:
                forget_starts(ctx.procs, ctx.site.state_dir, request.port, plan.entry.name)
            held = [e.name for e in plan.survey.entries]
            job.note(entry=plan.entry.name, previous=held[0] if held else None)
            if plan.only_keeps:
                _keep(ctx, plan)
            elif not plan.already_served:
                with disk_reservation(ctx) as disk:
                    started = _load(ctx, job, plan, disk)
                    used = sample_started(ctx, request.port, plan.entry.name)
                    job.note(start_s=round(started.seconds, 1), memory_bytes=used)
        evicted = job.undo.evicted
    refused = memory_refusal(plan) or startable.refusal(ctx, plan) if request.dry_run else None
    return {
        **_result(ctx, plan, time.monotonic() - began, started),
        **(_restart_fields(ctx, plan) if request.restart else {}),
        "memory": {**plan.fit.record(), "port": request.port} if plan.fit else None,
        "refused": refused.to_wire() if refused else None,
        "evicted": evicted,
    }


def _load(ctx: Context, job: Job, plan: LoadPlan, disk: DiskReservation) -> StartedServer:
    _reserve(ctx, job, plan)
    disk.reserve(plan.request.port, LOAD_EDITS, servers=2)
    disk.reserve_job_log(job.log)
    plan = startable.check_programs(ctx, plan)
    entry = _download(ctx, job, plan)
    spec = _spec(ctx, job, plan, entry)
    with ExitStack() as locks, job.undo.guard():
        evicted = evict.make_room(ctx, job, plan, disk, locks)
        started = swap(ctx, job, plan, spec, disk)
        job.undo.commit()
        for one in evicted:
            evict.forget_evicted(ctx, job, plan, one)
    for warning in _warnings(started):
        job.warn(warning)
    return started


def _keep(ctx: Context, plan: LoadPlan) -> None:
    """Record that the entry, which the port serves already, wants it."""

    def change(now: Registry) -> Registry:
        entry = now.entries.get(plan.entry.name)
        if entry is None or entry.port != plan.request.port:
            return now
        record = {key: value for key, value in (entry.process or {}).items() if key != "keep"}
        kept = entry.with_fields(process=record or None)
        return now.put(kept).want(kept.name, plan.request.port)

    ctx.store.edit(plan.request.why, change)


def _reserve(ctx: Context, job: Job, plan: LoadPlan) -> None:
    """Reserve the entry, and the one that a rollback would restart: another load of either is
    refused before it stops anything."""
    entry, request = plan.entry, plan.request
    names = [entry.name, *(e.name for e in plan.survey.entries if request.rollback)]
    with ctx.store.locked(request.why):
        require_unreserved(ctx, names, request.port)
        check_assignment(ctx, ctx.store.read().entries.get(entry.name, entry), request)
        require_still_fits(ctx, plan.fit, request)
        job.reserve(names, plan.fit.sum.need_bytes if plan.fit else None)


def _download(ctx: Context, job: Job, plan: LoadPlan) -> Entry:
    """Download what is missing; return the entry with its snapshot."""
    remote = plan.remote
    lasting = None if plan.request.force else plan.entry.name
    for warning in plan.warnings:
        job.warn(warning, lasting)
    if remote is None:
        return plan.entry
    path = download_in_job(ctx, job, remote, plan.installed.command)
    return plan.entry.with_fields(cache_path=path)


def _spec(ctx: Context, job: Job, plan: LoadPlan, entry: Entry) -> ServerSpec:
    # Check again after a download, which may have taken hours.
    recheck = plan.remote is not None and startable.stops_a_server(plan)
    there = startable.require_starting(ctx, plan.runtime, recheck)
    if plan.remote:
        # Options can be chosen now that the model is there; nothing has been stopped yet.
        chosen = choose_options(ctx.site, entry, there, plan.request.force)
        entry = chosen.entry
        for note in chosen.notes:
            job.warn(note, entry.name)
        refusals.check(ctx, entry, plan)
    clean = harmony.uses_harmony_parser(entry, plan.runtime)
    write_template_copy(ctx.site.state_dir, there.runtime, entry)
    spec = spec_of_entry(ctx.site, entry, plan.request.port, there)
    return spec._replace(require_clean_output=clean, keep=plan.request.keep)


def _warnings(started: Optional[StartedServer]) -> List[str]:
    """The faults of the first answer; they are no reason for a rollback."""
    faults = started.verification.failures if started else ()
    return [
        "loaded, but the %s check failed: %s (details: mlxops verify)" % (fault.check, fault.detail)
        for fault in faults
    ]


def _result(
    ctx: Context, plan: LoadPlan, seconds: float, started: Optional[StartedServer]
) -> Dict[str, Any]:
    request, entry, port_survey = plan.request, plan.entry, plan.survey
    planned = request.dry_run and not plan.already_served
    name = ctx.site.served_name(request.port, entry.name)
    return {
        "port": request.port,
        "entry": entry.name,
        "state": "planned" if planned else "ready",
        "changed": not request.dry_run and (not plan.already_served or plan.only_keeps),
        "kept": not request.dry_run and plan.only_keeps,
        "duration_s": round(seconds, 3),
        "start_s": round(started.seconds, 3) if started else None,
        "proof": started.verification.to_wire() if started else None,
        "previous": port_survey.entries[0].name if port_survey.entries else None,
        "download": plan.remote.record() if plan.remote else None,
        "restarted": started is not None
        and bool(port_survey.server)
        and [e.name for e in port_survey.entries] == [entry.name],
        "served_model": plan.runtime.client_model or name,
        "moved_from": plan.home,
        "warnings": [*plan.warnings, *_warnings(started)],
        "actions": _actions(plan) if planned else [],
    }


def _restart_fields(ctx: Context, plan: LoadPlan) -> Dict[str, Any]:
    """The server that a restart stops, and how the flags of the new one differ."""
    server = plan.survey.server
    if server is None:
        return {"previous_pid": None, "flags": []}
    spec = spec_of_entry(ctx.site, plan.entry, plan.request.port, plan.installed)
    flags = list(flag_changes(server.invocation, spec))
    return {"previous_pid": server.process.pid, "flags": flags}


def _actions(plan: LoadPlan) -> List[Dict[str, Any]]:
    """What a load without --dry-run would do."""
    request, entry, port_survey = plan.request, plan.entry, plan.survey
    name, port = entry.name, request.port
    actions: List[Action] = []
    if plan.remote:
        download = "%s, %s" % (plan.remote.repo_id, format_size(plan.remote.missing_bytes))
        actions.append(Action("download", name, port, download))
    actions += [
        Action("unload" if eviction[1] == plan.home else "evict", *eviction)
        for eviction in evict.planned_evictions(plan)
    ]
    occupant = port_survey.entries[0].name if port_survey.entries else None
    actions += [Action("stop", occupant, port, why) for why in describe_occupants(port_survey)]
    usual = estimate_startup(entry, plan.runtime, None, None).expected_s
    start = "%s with %s" % (plan.runtime.name, entry.cache_path or entry.repo_id)
    start += ", usually %.0f s" % usual if usual else ""
    return [action.to_wire() for action in (*actions, Action("start", name, port, start))]
