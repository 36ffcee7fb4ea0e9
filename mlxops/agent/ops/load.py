"""load: the model onto the port, and the one before it back if that fails."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import MlxopsError, NotReady, NotStopped, to_mlxops_error
from ..hub import download as fetch
from ..hub.checks import format_size
from ..jobs.begin import begin, interrupted_load
from ..jobs.disk_space import LOAD_EDITS, DiskReservation, disk_reservation, disk_space_error
from ..jobs.job import Job
from ..jobs.reservations import require_unreserved
from ..load import buildable, evict, startable
from ..load.actions import planned_actions
from ..load.memory import require_still_fits
from ..load.preflight import check_assignment, plan_load
from ..load.request import LoadPlan, LoadRequest, no_restart_error
from ..load.restart import Unrestartable
from ..memory import fit as memory
from ..models import cache as hfcache
from ..models import harmony
from ..models.defaults import Installed
from ..models.flags import choose_options
from ..procs import Unobservable
from ..programs.environment import site_packages
from ..registry.entries import Entry
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of, template_text
from ..servers.prefetch import prefetch_weights
from ..servers.start import (
    ServerSpec,
    StartedServer,
    StartOptions,
    clear_assignment,
    restart_server,
    start_server,
)
from ..servers.startup_time import StartupEstimate, abort_warning, estimate_startup
from ..servers.unrecorded import record_unrecorded
from ..servers.vacate import vacate_port
from ..site import log_path


def load(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    began = time.monotonic()
    request = LoadRequest.from_wire(args)
    evicted: List[Dict[str, Any]] = []
    ctx.report("checking %s for port %d" % (request.model, request.port))
    if not request.dry_run:
        record_unrecorded(ctx, [ctx.site.require_port(request.port)])
    plan = plan_load(ctx, request, own_lock=False)
    plan = startable.check_programs(ctx, plan) if request.dry_run else plan
    served = None
    # A port that serves this already still has to forget the load that was cut off there.
    if not request.dry_run and (not plan.already_served or interrupted_load(ctx, request.port)):
        naming = partial(evict.report_evictions, evicted)
        # The job's log hears of it, and whoever is told that the job itself could not be ended.
        with (
            naming(),
            begin(ctx, request.port, _why(request), again=request.retry_command) as job,
            naming(),
        ):
            # What was seen before the port was ours informs; what decides is seen again.
            plan = plan_load(ctx, request, own_lock=True)
            if not plan.already_served:
                with disk_reservation(ctx) as room:
                    served = _load(ctx, job, plan, room, evicted)
    return {
        **_result(ctx, plan, time.monotonic() - began, served),
        **_fit_and_refusal(ctx, plan),
        "evicted": evicted,
    }


def _load(
    ctx: Context, job: Job, plan: LoadPlan, room: DiskReservation, evicted: List[Dict[str, Any]]
) -> StartedServer:
    _reserve(ctx, job, plan)
    room.reserve(plan.request.port, LOAD_EDITS, servers=2)
    room.reserve_job_log(job.log)
    plan = startable.check_programs(ctx, plan)
    entry = _download(ctx, job, plan)
    service = _service(ctx, job, plan, entry)
    with evict.Eviction(ctx, job, plan, partial(_restart_previous, ctx, room), evicted, room):
        return _swap(ctx, job, plan, service, room)


def _why(request: LoadRequest) -> str:
    return "load %s %d" % (request.model, request.port)


def _reserve(ctx: Context, job: Job, plan: LoadPlan) -> None:
    """From here to the end the entry is nobody else's, nor is the one that may have to come back:
    refused in time, another load of it stops nothing."""
    entry, request = plan.entry, plan.request
    names = [entry.name, *(e.name for e in plan.survey.entries if request.rollback)]
    with ctx.store.locked(_why(request)):
        require_unreserved(ctx, names, request.port)
        check_assignment(ctx.store.read().entries.get(entry.name, entry), request)
        require_still_fits(ctx, plan.fit, request)
        job.reserve(names, plan.fit.sum.need_bytes if plan.fit else None)


def _download(ctx: Context, job: Job, plan: LoadPlan) -> Entry:
    """The entry with its snapshot on disk."""
    remote = plan.remote
    for warning in plan.warnings:
        job.warn(warning)
    if remote is None:
        return plan.entry
    job.phase(
        "download", "downloading %s, %s" % (remote.repo_id, format_size(remote.missing_bytes))
    )

    def progress(done: int, total: int, file: str) -> None:
        job.emit("progress", phase="download", done=done, total=total, file=file)

    python = fetch.find_interpreter(ctx.site, plan.command)
    path = fetch.download(
        python, remote, ctx.site.cache_root, progress, lambda: ctx.client.cancelled
    )
    return plan.entry.with_fields(cache_path=path)


def _service(ctx: Context, job: Job, plan: LoadPlan, entry: Entry) -> ServerSpec:
    port, runtime = plan.request.port, plan.runtime
    # A download may have taken hours.
    again = plan.remote is not None and startable.stops_a_server(plan)
    flags = startable.help_flags(ctx, runtime, plan.command, again)
    if plan.remote:
        # Only now is there a model to choose flags for; nothing has been stopped yet.
        there = Installed(runtime, flags, tuple(site_packages(plan.command)))
        entry, notes = choose_options(ctx.site, entry, there, plan.request.force)
        for note in notes:
            job.warn(note)
        buildable.check(ctx, entry, plan)
    launch = launch_of(entry, port, ctx.site.bind, ctx.site.served_name(port, entry.name))
    argv = runtimes.argv(runtime, plan.command, launch, flags, template_text(runtime, entry))
    listed = launch.served_name if runtime.served_name in flags else None
    name = runtime.client_model or listed or entry.cache_path
    return ServerSpec(
        port=port,
        entry=entry,
        runtime=runtime,
        argv=argv,
        listed_name=listed,
        chat_name=name,
        require_clean_output=harmony.uses_harmony_parser(entry, runtime),
    )


def _swap(
    ctx: Context, job: Job, plan: LoadPlan, service: ServerSpec, room: DiskReservation
) -> StartedServer:
    ground = plan.survey
    allowed = _prefetch_and_estimate(ctx, job, plan, service)
    previous = plan.previous if isinstance(plan.previous, ServerSpec) else None
    # A download may have taken hours: no server is stopped for a model that was assigned elsewhere
    # meanwhile.
    check_assignment(ctx.store.read().entries.get(plan.entry.name, plan.entry), plan.request)
    room.check_writable()
    taken = vacate_port(ctx, job, ground, plan.request.grace_s)
    back = previous if plan.request.rollback else None
    moves = back is not None and back.entry is not None
    try:
        if taken is not None:
            raise taken
        ctx.client.check()
        startable.require_unbound(ctx, service.port)
        served = start_server(
            ctx,
            job,
            service,
            StartOptions(allowed, ctx.client.check, room, clear_on_failure=not moves),
        )
    except Exception as exc:  # whatever it was, the previous model comes back first
        error = to_mlxops_error(exc)
        lost = partial(clear_assignment, ctx, job, service) if moves else _nothing
        outcome = _rollback_outcome(ctx, job, room, error, back, lost)
        error.message += "; " + outcome
        error.fields["rollback"] = outcome
        raise error from exc
    for doubt in _warnings(served):
        job.warn(doubt)
    return served


def _warnings(served: Optional[StartedServer]) -> List[str]:
    """What the first answer shows to be wrong: to be told, no reason to undo a load."""
    faults = served.verification.failures if served else ()
    return [
        "it serves, but %s: %s; mlxops verify tells more" % (fault.check, fault.detail)
        for fault in faults
    ]


def _nothing() -> None:
    return


def _rollback_outcome(
    ctx: Context,
    job: Job,
    room: DiskReservation,
    error: MlxopsError,
    previous: Optional[ServerSpec],
    lost: Callable[[], None],
) -> str:
    """What stands on the port after a failure, in words."""
    if isinstance(error, NotStopped) and not error.fields.get("gone"):
        return "it still holds the port"
    if previous is None:
        return _port_state(ctx, job)
    log = log_path(ctx.site.state_dir, previous.port)
    failed = _identity(log)
    outcome = _restart_previous(ctx, room, job, previous, lost)
    if isinstance(error, NotReady) and failed and failed == _identity(log + ".1"):
        # The previous model's server writes to the port's log now.
        error.hint = "for the whole log of what failed: mlxops logs %d --previous" % previous.port
    return outcome


def _port_state(ctx: Context, job: Job) -> str:
    """Whether the port is empty now: another registry's load may have taken it."""
    port = job.port
    try:
        if ctx.procs.free(port, ctx.site.bind):
            return "the port is empty"
        pids = sorted({str(ln.pid) for ln in ctx.procs.listeners([port]) if ln.pid})
    except (Unobservable, OSError):
        return "what is on the port cannot be seen; mlxops status %d" % port
    return "the port is held by %s" % ("pid " + ", ".join(pids) if pids else "another process")


def _identity(log: str) -> Optional[int]:
    """Which file it is, by its inode; None when there is none, or nothing in it."""
    try:
        was = os.stat(log)
    except OSError:
        return None
    return was.st_ino if was.st_size else None


def _restart_previous(
    ctx: Context,
    room: DiskReservation,
    job: Job,
    previous: ServerSpec,
    lost: Callable[[], None] = _nothing,
) -> str:
    """Bring the previous model back; what became of that, in words. `lost` is called when it does
    not come."""
    name = previous.entry.name if previous.entry else previous.argv[0]
    try:
        job.rollback("starting", "starting %s again" % name)
        allowed = _pace(ctx, previous, _weights(previous), None, None)
        served = restart_server(
            ctx, job, previous, StartOptions(allowed, lambda: None, room, restoring=True)
        )
    except Exception as exc:  # told along with what failed first
        lost()
        return "%s could not be started again: %s" % (name, to_mlxops_error(exc).message)
    if served.record_error and previous.entry:
        text = "%s serves again, but the registry does not know it yet (%s); once that is settled: mlxops reconcile"
        return text % (name, served.record_error)
    return "%s serves again" % name


def _prefetch_and_estimate(
    ctx: Context, job: Job, plan: LoadPlan, service: ServerSpec
) -> StartupEstimate:
    """All that can be done for the start before anything is stopped, and how long it may then
    take."""
    path, weights = service.entry.cache_path if service.entry else "", _weights(service)
    speed = prefetch_weights(ctx, job, path, weights, plan.survey.server is not None).bytes_per_s
    found = _pace(ctx, service, weights, plan.request.timeout_s, speed)
    warning = abort_warning(service.runtime, found, weights, speed)
    if warning:
        job.warn(warning)
    return found


def _weights(service: ServerSpec) -> Optional[int]:
    return hfcache.weights_bytes(service.entry.cache_path) if service.entry else None


def _pace(
    ctx: Context,
    service: ServerSpec,
    weights: Optional[int],
    asked_s: Optional[float],
    bytes_per_s: Optional[float],
) -> StartupEstimate:
    """How long a start may take: as asked, as the host file says, else as it took before, else by
    size and disk."""
    found = estimate_startup(service.entry, service.runtime, weights, bytes_per_s)
    return found._replace(timeout_s=asked_s or ctx.site.startup_timeout_s or found.timeout_s)


def _result(
    ctx: Context, plan: LoadPlan, seconds: float, served: Optional[StartedServer]
) -> Dict[str, Any]:
    request, entry, ground = plan.request, plan.entry, plan.survey
    planned = request.dry_run and not plan.already_served
    name = ctx.site.served_name(request.port, entry.name)
    return {
        "port": request.port,
        "entry": entry.name,
        "state": "planned" if planned else "ready",
        "changed": not plan.already_served and not request.dry_run,
        "duration_s": round(seconds, 3),
        "start_s": round(served.seconds, 3) if served else None,
        "proof": served.verification.to_wire() if served else None,
        "previous": ground.entries[0].name if ground.entries else None,
        "download": plan.remote.record() if plan.remote else None,
        "restarted": served is not None
        and bool(ground.server)
        and [e.name for e in ground.entries] == [entry.name],
        "served_model": plan.runtime.client_model or name,
        "warnings": [*plan.warnings, *_warnings(served)],
        "actions": planned_actions(plan) if planned else [],
    }


def _fit_and_refusal(ctx: Context, plan: LoadPlan) -> Dict[str, Any]:
    """How it fits; of a dry run also the refusal that a load would meet, for memory or disk."""
    fit, request = plan.fit, plan.request
    error: Optional[MlxopsError]
    spared = fit is None or fit.fits or request.force or (request.evict and fit.unload)
    error = None if fit is None or spared else memory.not_enough_memory(fit)
    if isinstance(plan.previous, Unrestartable) and request.rollback:
        error = error or no_restart_error(plan.previous, request)
    if request.dry_run and not plan.already_served:
        error = error or disk_space_error(ctx, request.port)
    told = error.to_wire() if error and request.dry_run else None
    return {"memory": fit.record() if fit else None, "refused": told}
