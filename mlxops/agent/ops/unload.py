"""unload: stop a port's server, prove it stopped, then clear the assignment."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import (
    AssignmentConflict,
    ForeignListener,
    Locked,
    MlxopsError,
    PortBusy,
    RegistryInvalid,
    to_mlxops_error,
)
from ..jobs.begin import begin, interrupted_load
from ..jobs.disk_space import UNLOAD_EDITS, DiskReservation, disk_reservation
from ..jobs.job import Job
from ..logs.size import truncate_if_large
from ..models import cache as hfcache
from ..ports.portname import PortResolver, find_slot
from ..ports.probe import call_all
from ..ports.survey import PortSurvey, survey
from ..ranks import other_hosts
from ..registry.action import Action
from ..registry.entries import Registry
from ..runtimes.secrets import masked
from ..servers.current_state import interrupted_error
from ..servers.vacate import describe_occupants, stop_occupants
from ..site import log_path

MAX_COMMAND_LENGTH = 300


def unload(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Unload one port, or several with a row for each."""
    if "ports" in args:
        registry, _ = ctx.store.read_or_empty()
        return _unload_each(ctx, registry, list(ctx.ports(args["ports"])), args)
    return _unload(ctx, ctx.site.require_port(args["port"]), args)


def unload_all(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Unload all ports of the host, and those that entries name."""
    registry, fault = ctx.store.read_or_empty()
    if fault and args.get("registered"):
        raise fault
    entries = registry.entries.values()
    known = {port for e in entries for port in (e.port, e.wanted) if port is not None}
    ports = sorted(known.union(ctx.site.ports))
    result = _unload_each(ctx, registry, ports, args)
    return {**result, "error": fault.to_wire()} if fault else result


def _unload_each(
    ctx: Context, registry: Registry, ports: List[int], args: Mapping[str, Any]
) -> Dict[str, Any]:
    """Unload these ports at the same time; a failure on one does not affect the others."""
    words: Mapping[int, str] = args.get("words") or {}
    calls = {
        port: partial(_attempt, ctx, registry, port, {**args, "word": words.get(port)})
        for port in ports
    }
    done = call_all(calls)
    rows = [done[port] for port in ports]
    if ctx.client.cancelled and not all(row["ok"] for row in rows):
        raise interrupted_error(ctx, rows, "unloaded")
    return {"ports": rows}


def _attempt(
    ctx: Context, registry: Registry, port: int, args: Mapping[str, Any]
) -> Dict[str, Any]:
    try:
        return {"ok": True, "error": None, **_unload(ctx, port, args)}
    except Exception as exc:  # reported in this port's row, so that the others are reported too
        error, holders = to_mlxops_error(exc), registry.holders(port)
        if isinstance(error, RegistryInvalid):
            return _row_without_registry(port, error)
        row = {"port": port, "changed": False, "entry": holders[0].name if holders else None}
        if (
            args.get("registered")
            and isinstance(error, ForeignListener)
            and not (holders or registry.lost(port))
        ):
            pid = next(iter(error.fields.get("pids") or []), None)
            return {**row, "ok": True, "error": None, "state": "left", "pid": pid, "actions": []}
        return {**row, "ok": False, "error": error.to_wire()}


def _row_without_registry(port: int, error: RegistryInvalid) -> Dict[str, Any]:
    """The row if the registry cannot be read, which the answer as a whole reports: what was stopped
    nevertheless. A port without a proven server is left alone."""
    stopped = error.fields.get("stopped") is True
    return {
        "port": port,
        "entry": None,
        "state": "free" if stopped else "unknown",
        "changed": stopped,
        "pid": error.fields.get("pid"),
        "model": error.fields.get("model"),
        "registry_changed": False,
        "actions": [],
        "ok": True,
        "error": None,
    }


def _unload(ctx: Context, port: int, args: Mapping[str, Any]) -> Dict[str, Any]:
    began = time.monotonic()
    port_survey = survey(ctx, port, own_lock=False, allow_no_registry=True)
    if args.get("registered") and port_survey.registry_error:
        raise port_survey.registry_error
    if (
        args.get("registered")
        and (port_survey.unregistered_server or not port_survey.entries)
        and not port_survey.evidence.proven_idle
    ):
        return _row(port_survey, "left", False, began)
    lost = [entry.name for entry in port_survey.registry.lost(port)]
    to_do = bool(port_survey.entries or lost or not port_survey.evidence.proven_idle)
    dry = bool(args.get("dry_run"))
    if (to_do or interrupted_load(ctx, port)) and not dry:
        name = port_survey.entries[0].name if port_survey.entries else None
        job = begin(ctx, port, "unload %d" % port, entry=name)
        with job, disk_reservation(ctx) as room:
            port_survey = survey(ctx, port, own_lock=True, allow_no_registry=True)
            _require_same_meaning(ctx, port_survey, args.get("word"))
            _require_agreed_server(port_survey, args.get("pids"))
            _require_registry_lock(ctx, port_survey)
            job.note(previous=port_survey.entries[0].name if port_survey.entries else None)
            _warn_if_disk_is_full(job, room, port_survey)
            feared = stop_occupants(ctx, job, port_survey, args.get("grace_s"))
            truncate_if_large(log_path(ctx.site.state_dir, port))
            port_survey = _forget(ctx, port_survey, bool(args.get("keep_wanted")))
            if feared:
                raise feared
    strays = [] if dry else _running_strays(ctx, port_survey)
    row = _row(
        port_survey,
        "planned" if to_do and dry else "starting" if strays else "free",
        to_do and not dry,
        began,
    )
    return {
        **row,
        "left": strays,
        "forgot": [] if dry else lost,
        "declared": ctx.site.declared_model(port),
        "actions": _actions(port_survey) if dry else [],
    }


def _row(port_survey: PortSurvey, state: str, changed: bool, began: float) -> Dict[str, Any]:
    """`model`, `command`: of a server that is not in the registry."""
    stranger = port_survey.unregistered_server
    return {
        "port": port_survey.evidence.port,
        "entry": port_survey.entries[0].name if port_survey.entries else None,
        "state": state,
        "changed": changed,
        "pid": port_survey.server.process.pid if port_survey.server else None,
        "model": _label(stranger.invocation.model) if stranger else None,
        "command": " ".join(masked(stranger.process.argv))[:MAX_COMMAND_LENGTH]
        if stranger
        else None,
        "forgot": [],
        "left": [],
        "duration_s": round(time.monotonic() - began, 3),
        "actions": [],
    }


def _label(model: Optional[str]) -> str:
    """The repository of a snapshot's path; any other model as it is."""
    return hfcache.repo_of(model or "") or model or "its default model"


def _require_agreed_server(port_survey: PortSurvey, pids: Optional[List[int]]) -> None:
    """PortBusy for a server that was not in the list the user agreed to."""
    if pids is None or port_survey.server is None or port_survey.server.process.pid in pids:
        return
    pid, port = port_survey.server.process.pid, port_survey.evidence.port
    text = "pid %d started on port %d after you were asked" % (pid, port)
    raise PortBusy(text, "mlxops status", port=port, pid=pid)


def _running_strays(ctx: Context, port_survey: PortSurvey) -> List[int]:
    """The pids of strays that were not stopped and are still running: they may take the port."""
    if not port_survey.evidence.strays:
        return []
    table = ctx.procs.processes()
    living = [
        p
        for s in port_survey.evidence.strays
        for p in [table.get(s.process.pid)]
        if p and not p.zombie
    ]
    return [
        p.pid
        for p in living
        if p.start_time in {s.process.start_time for s in port_survey.evidence.strays}
    ]


def _require_same_meaning(ctx: Context, port_survey: PortSurvey, word: Optional[str]) -> None:
    """Resolve the word again, now that the port is locked. The name of an entry never stops another
    model's server."""
    port = port_survey.evidence.port
    if word is None or word.isdecimal():
        return
    if port_survey.registry_error:
        raise port_survey.registry_error
    if port_survey.unregistered_server is not None and find_slot(ctx.site, word) is None:
        pid = port_survey.unregistered_server.process.pid
        text = "%s is assigned to port %d, but pid %d serves something else there" % (
            word,
            port,
            pid,
        )
        raise AssignmentConflict(
            text, "to stop it: mlxops unload %d" % port, port=port, word=word, pid=pid
        )
    if PortResolver(ctx, "unload").resolve(word, port_survey.registry) == port:
        return
    text = "%s is no longer on port %d" % (word, port)
    raise AssignmentConflict(text, "mlxops status", port=port, word=word)


def _require_registry_lock(ctx: Context, port_survey: PortSurvey) -> None:
    """Stop nothing while another holds the registry's lock: it could not be changed afterwards."""
    if port_survey.registry_error or not (
        port_survey.entries or port_survey.registry.lost(port_survey.evidence.port)
    ):
        return
    try:
        with ctx.store.locked("unload %d" % port_survey.evidence.port):
            return
    except Locked as exc:
        exc.message = "nothing was stopped: the registry is %s" % exc.message
        raise


def _warn_if_disk_is_full(job: Job, room: DiskReservation, port_survey: PortSurvey) -> None:
    """Warn before the stop. A port can be freed on a full disk too, but not in the registry."""
    port = port_survey.evidence.port
    try:
        room.reserve(
            port,
            UNLOAD_EDITS if port_survey.entries or port_survey.registry.lost(port) else 0,
            servers=0,
        )
    except MlxopsError as exc:
        why = exc.message.partition("; nothing")[0]
        job.warn("the port will be freed, but the registry cannot be changed: %s" % why)


def _forget(ctx: Context, port_survey: PortSurvey, keep_wanted: bool) -> PortSurvey:
    """Clear the assignment; return the survey with the entries that had it. If that fails, the
    error still reports what was stopped."""
    port, stopped = port_survey.evidence.port, port_survey.server
    try:
        return _clear(ctx, port_survey, keep_wanted)
    except Exception as exc:
        error, names = to_mlxops_error(exc), " and ".join(e.name for e in port_survey.entries)
        if stopped:
            outcome = (
                "%s is still assigned to it" % names
                if names
                else "the registry could not be changed"
            )
            text = "port %d is free (pid %d was stopped), but %s: %s"
            error.message = text % (port, stopped.process.pid, outcome, error.message)
            error.hint = "%s; then free it with: mlxops unload %d" % (
                error.hint.partition("; then run")[0],
                port,
            )
            error.fields.update(
                port=port,
                stopped=True,
                pid=stopped.process.pid,
                model=_label(stopped.invocation.model),
            )
        raise error from exc


def _actions(port_survey: PortSurvey) -> List[Dict[str, Any]]:
    """What an unload without --dry-run would do."""
    port, entries = port_survey.evidence.port, port_survey.entries
    holder = entries[0].name if entries else None
    lost = port_survey.registry.lost(port)
    actions = [
        *(Action("stop", holder, port, why) for why in describe_occupants(port_survey)),
        *(Action("clear", entry.name, port, "it is assigned to the port") for entry in entries),
        *(
            Action("forget", e.name, port, "it was served here and is no longer running")
            for e in lost
        ),
    ]
    return [action.to_wire() for action in actions]


def _clear(ctx: Context, port_survey: PortSurvey, keep_wanted: bool) -> PortSurvey:
    """Clear the assignments found before the stop, and `wanted` with them unless the port will be
    loaded next.

    If the registry was unreadable then, it is read again: with the port's lock held, the assignment
    cannot have changed. Its processes on other hosts were not stopped in that case, so an entry
    that has any stays assigned."""
    cleared = port_survey

    def change(now: Registry) -> Registry:
        nonlocal cleared
        if port_survey.registry_error:
            cleared = port_survey._replace(entries=now.holders(port_survey.evidence.port))
            if any(map(other_hosts.are_recorded, cleared.entries)):
                raise port_survey.registry_error
        return _without_assignments(now, cleared, keep_wanted)

    ctx.store.edit("unload %d" % port_survey.evidence.port, change)
    return cleared


def _without_assignments(now: Registry, port_survey: PortSurvey, keep_wanted: bool) -> Registry:
    """The registry without the assignments found before the stop; a newer one is another's."""
    same = [
        e
        for e in port_survey.entries
        if now.entries.get(e.name) and now.entries[e.name].port == port_survey.evidence.port
    ]
    kept = [e.name for e in same if not now.entries[e.name].on_trial]
    emptied = now.put(*(now.entries[e.name].with_fields(port=None, process=None) for e in same))
    if keep_wanted:
        return emptied
    # A server on trial does not end what its entry wants elsewhere.
    forgotten = emptied.put(*(emptied.entries[name].with_fields(wanted=None) for name in kept))
    return forgotten.forget(port_survey.evidence.port)
