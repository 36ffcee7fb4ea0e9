"""The checks of a load, before anything is changed."""

from __future__ import annotations

from typing import Optional, Tuple, Union

from ..api_key import require_api_key
from ..context import Context
from ..errors import (
    AssignmentConflict,
    NotDownloadable,
    PortBusy,
    mlxops_command,
)
from ..hub.fetch import describe_remote, require_downloadable
from ..hub.remote import Remote
from ..jobs.reservations import require_unreserved
from ..models import cache as hfcache
from ..models.location import folder_identity
from ..models.options import choose_options, require_buildable
from ..ports.diagnosis import diagnose
from ..ports.expected import expected
from ..ports.survey import PortSurvey, survey
from ..programs.installed import require_installed
from ..ranks import other_hosts
from ..registry import resolve
from ..registry.entries import REQUIRED, Entry, Registry
from ..registry.init_plan import free_name
from ..servers.respawn import require_no_restarter
from ..servers.start import ServerSpec
from . import options, presence, references, refusals, startable
from .memory import check_memory, memory_request
from .request import LoadPlan, LoadRequest, no_restart_error
from .restart import Unrestartable, restart_spec


def plan_load(ctx: Context, request: LoadRequest, own_lock: bool) -> LoadPlan:
    """Plan the load; raise the first reason against it."""
    ctx.site.require_port(request.port)
    entry = resolve_entry(ctx, ctx.store.read(), request)
    require_unreserved(ctx, [entry.name], request.port)
    check_assignment(ctx, entry, request)
    there = require_installed(ctx.site, entry.text("runtime"), ctx.report, ctx.client.check)
    # Options for a model that must be downloaded are chosen after the download.
    warnings: Tuple[str, ...] = ()
    whole, notes = presence.is_usable(entry.cache_path, request.force), warnings
    if whole:
        warnings = presence.warnings(ctx.store.read(), entry, request)
        chosen = choose_options(ctx.site, entry, there, request.force)
        entry, notes = chosen.entry, chosen.notes
    warnings += options.check(ctx, entry, request.port, there)
    references.check(ctx, there.runtime, entry, request.port)
    port_survey = survey(ctx, request.port, own_lock)
    fault = _fault_of_occupant(ctx, port_survey, entry)
    plan = LoadPlan(
        request=request,
        entry=entry,
        remote=None,
        installed=there,
        survey=port_survey,
        already_served=fault == "" and (request.by_plan or not request.replace),
        warnings=warnings,
    )
    if plan.already_served:
        return plan
    unasked = _require_replace(port_survey, request, entry, fault)
    require_no_restarter(ctx, port_survey)
    startable.check_bindable(ctx, port_survey)
    previous = _previous_server(ctx, port_survey, request)
    plan = plan._replace(previous=previous, warnings=plan.warnings + unasked)
    if whole:
        return _plan_model(ctx, plan, None, notes)
    try:
        remote = _planned_download(ctx, entry, there.command, request)
    except NotDownloadable as exc:
        found = presence.substitute(ctx, entry, request, exc)
        return plan_load(ctx, request._replace(substitute=found), own_lock)
    others = (
        presence.revision_note(ctx, entry, request),
        presence.local_copy_note(ctx.store.read(), entry, request),
    )
    return _plan_model(ctx, plan, remote, (*notes, *filter(None, others)))


def _plan_model(
    ctx: Context, plan: LoadPlan, remote: Optional[Remote], notes: Tuple[str, ...]
) -> LoadPlan:
    """The plan with what the model needs: its files, its other hosts, memory, and a runtime that
    can build it."""
    request, entry, runtime = plan.request, plan.entry, plan.runtime
    require_api_key(ctx.site, request.port, runtime.name)
    if remote is not None:
        entry = _with_repo_spelling(entry, remote)
        if remote.config and not request.force:
            require_buildable(entry, plan.installed, remote.config)
            refusals.require_built(ctx, entry, plan.installed, remote)
    other_hosts.require_startable(
        ctx, entry, request.port, runtime, complete=remote is None, force=request.force
    )
    needed = memory_request(ctx, entry, remote, plan.installed, request.port)
    needed = needed and needed._replace(home=plan.home)
    fit, memory_warnings = check_memory(ctx, needed, request)
    refusals.check(ctx, entry, plan)
    warnings = notes + plan.warnings + memory_warnings
    return plan._replace(
        entry=entry, remote=remote, warnings=warnings, memory_request=needed, fit=fit
    )


def resolve_entry(ctx: Context, registry: Registry, request: LoadRequest) -> Entry:
    """The entry of the request, or a new one for a full repository name. A part of a name starts
    nothing."""
    entry = resolve.find_exact(registry, request.model)
    if entry is None and not resolve.is_repo_id(request.model):
        resolve.find_entry(registry, request.model)  # ModelAmbiguous for a part of several names
        raise resolve.no_such_name(registry, request.model, "load", request.port)
    entry = entry or _new_entry(ctx, registry, request.model)
    entry = entry.with_fields(revision=request.revision) if request.revision else entry
    return presence.with_snapshot_path(ctx, entry, request)


def _new_entry(ctx: Context, registry: Registry, repo_id: str) -> Entry:
    name = free_name(registry, repo_id, ctx.site.slot_names)
    repo_id = hfcache.name_in_cache(ctx.site.hf_home, ctx.site.cache_root, repo_id)
    return Entry(name, {**REQUIRED, "repo_id": repo_id, "model_id": repo_id})


def check_assignment(ctx: Context, entry: Entry, request: LoadRequest) -> None:
    """AssignmentConflict if the entry is assigned to, or planned for, another port, or if it does
    not want the port and the request depends on that."""
    if entry.port not in (None, request.port) and not request.move:
        movable = entry.port in ctx.site.ports
        hint = "mlxops unload %d, then load it again" % (entry.port or 0)
        raise AssignmentConflict(
            "%s is assigned to port %d" % (entry.name, entry.port or 0),
            request._replace(move=True).retry_command if movable else hint,
            entry=entry.name,
            port=entry.port,
            movable=movable,
        )
    if request.restart and request.port not in (entry.port, entry.wanted):
        raise AssignmentConflict(
            "%s is no longer on port %d" % (entry.name, request.port),
            mlxops_command("status", request.port),
            entry=entry.name,
            port=request.port,
        )
    if request.if_wanted and entry.wanted != request.port:
        raise AssignmentConflict(
            "%s is no longer wanted on port %d, so it is not started there"
            % (entry.name, request.port),
            "mlxops status",
            entry=entry.name,
            port=request.port,
        )
    bound = not (request.force or request.by_plan or request.restart)
    if entry.slot is not None and entry.slot != request.port and bound:
        raise AssignmentConflict(
            "%s is planned for port %d%s"
            % (entry.name, entry.slot, _renaming(ctx, entry, entry.slot, request.port)),
            mlxops_command("load", entry.name, entry.slot) + ", or add --force",
            entry=entry.name,
            slot=entry.slot,
        )


def _renaming(ctx: Context, entry: Entry, slot: int, port: int) -> str:
    """That clients would need another model name there; "" if both ports use the same one."""
    fixed = ctx.site.runtime_named(entry.text("runtime")).client_model
    planned, there = (ctx.site.served_name(p, entry.name) for p in (slot, port))
    if fixed or planned == there:
        return ""
    return "; on port %d clients would see it as %s, not as %s" % (port, there, planned)


def _fault_of_occupant(ctx: Context, port_survey: PortSurvey, entry: Entry) -> Optional[str]:
    """None if the port is not assigned to this entry with this path; else why the server does not
    serve it, "" if it does."""
    if [(e.name, folder_identity(e.cache_path)) for e in port_survey.entries] != [
        (entry.name, folder_identity(entry.cache_path))
    ]:
        return None
    verdict = diagnose(
        port_survey.evidence, expected(ctx, port_survey.registry, port_survey.evidence.port)
    )
    if verdict.state == "ready" and verdict.drift in (
        None,
        "duplicate",
        "unrecorded",
        "stray",
        "switched",
    ):
        return ""
    return "%s: %s" % (verdict.drift or verdict.state, verdict.reason)


def _require_replace(
    port_survey: PortSurvey, request: LoadRequest, entry: Entry, fault: Optional[str]
) -> Tuple[str, ...]:
    """PortBusy if the port serves and nobody agreed to a swap; in a dry run, a warning.

    `fault`: what is wrong with the occupant, if it is the entry itself."""
    if port_survey.server is None:
        return ()
    if request.restart:
        _require_own_server(port_survey, entry)
    if request.replace:
        _require_planned_server(port_survey, request)
        return ()
    occupant = (
        port_survey.entries[0].name if port_survey.entries else port_survey.server.invocation.model
    )
    text, hint = "port %d serves %s" % (request.port, occupant), "add --replace to swap it"
    if fault:
        text = "port %d: %s is running, but not as expected: %s" % (
            request.port,
            occupant,
            fault,
        )
        own = port_survey.unregistered_server is None and not request.revision
        again = mlxops_command("restart", request.port)
        hint = again if own else request._replace(replace=True).retry_command
    if request.dry_run:
        return (text + ": the load would ask first, or needs --replace",)
    pid = port_survey.server.process.pid
    raise PortBusy(text, hint, port=request.port, occupant=occupant, pid=pid, entry=entry.name)


def _require_own_server(port_survey: PortSurvey, entry: Entry) -> None:
    """PortBusy for a server that is not the entry's: a restart would replace it by another."""
    stranger = port_survey.unregistered_server
    if stranger is None:
        return
    pid, port = stranger.process.pid, port_survey.evidence.port
    raise PortBusy(
        "pid %d serves %s on port %d, not %s"
        % (pid, stranger.invocation.model or "its default model", port, entry.name),
        "to replace it: %s" % mlxops_command("load", entry.name, port, "--replace"),
        port=port,
        pid=pid,
        entry=entry.name,
    )


def _require_planned_server(port_survey: PortSurvey, request: LoadRequest) -> None:
    """PortBusy for a server that came after the plan that this load is a step of, or after the
    user was asked."""
    server = port_survey.server
    if server is None or request.pids is None or server.process.pid in request.pids:
        return
    pid, port = server.process.pid, request.port
    names = [entry.name for entry in port_survey.entries]
    what = names[0] if names else server.invocation.model or "its default model"
    text = "pid %d, which serves %s, started on port %d after " % (pid, what, port)
    text += "you were asked" if request.restart else "the plan was made"
    look = ("status",) if request.restart else ("apply", "--dry-run")
    raise PortBusy(text, mlxops_command(*look, port), port=port, pid=pid)


def _previous_server(
    ctx: Context, port_survey: PortSurvey, request: LoadRequest
) -> Union[ServerSpec, Unrestartable, None]:
    """The spec that restarts the occupant; PortBusy if there is none, unless with --no-rollback."""
    if port_survey.server is None:
        return None
    previous = restart_spec(
        ctx,
        request.port,
        port_survey.server,
        port_survey.entries[0] if port_survey.entries else None,
    )
    if isinstance(previous, Unrestartable) and request.rollback and not request.dry_run:
        raise no_restart_error(previous, request)
    return previous


def _planned_download(
    ctx: Context, entry: Entry, command: Tuple[str, ...], request: LoadRequest
) -> Remote:
    """What must be downloaded, after all checks against it."""
    presence.require_download_allowed(ctx, entry, request)
    remote = find_remote(ctx, entry, command)._replace(allow_incomplete=request.force)
    ask_above = None if request.dry_run else request.ask_above_bytes
    require_downloadable(ctx, remote, ask_above, request.force)
    return remote


def _with_repo_spelling(entry: Entry, remote: Remote) -> Entry:
    """The entry, with the repository as the cache or the Hub spells it."""
    if entry.cache_path or entry.repo_id == remote.repo_id:
        return entry
    return entry.with_fields(repo_id=remote.repo_id)


def find_remote(ctx: Context, entry: Entry, command: Tuple[str, ...]) -> Remote:
    """What the Hub has for an entry. Fetches only config.json."""
    return describe_remote(ctx, entry.repo_id, entry.text("revision"), command)
