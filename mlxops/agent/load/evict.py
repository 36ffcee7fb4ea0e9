"""Unload other ports for a load, each under its own port's lock: those that make room, and the one
that its model moves from."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..clock import Deadline, wait_for
from ..context import Context
from ..errors import (
    AssignmentConflict,
    Interrupted,
    MlxopsError,
    PortBusy,
    mlxops_command,
    to_mlxops_error,
)
from ..jobs.begin import begin
from ..jobs.disk_space import EVICTION_EDITS, DiskReservation
from ..jobs.job import Job
from ..jobs.reservations import require_unreserved
from ..memory import fit as memory
from ..memory.fit import Fit
from ..ports.survey import PortSurvey, survey
from ..registry.entries import Registry
from ..servers.respawn import require_no_restarter
from ..servers.start import ServerSpec
from ..servers.vacate import stop_occupants
from .memory import check_memory
from .preflight import check_assignment
from .request import LoadPlan
from .restart import Unrestartable, restart_spec
from .swap import restart_previous

# The memory of a server is free a moment after its processes are gone.
RELEASE_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.5


class EvictedPort(NamedTuple):
    """A port that makes room. `job`: holds its lock; `spec`: restarts its server."""

    job: Job
    survey: PortSurvey
    spec: Union[ServerSpec, Unrestartable, None]

    @property
    def port(self) -> int:
        return self.job.port

    @property
    def names(self) -> List[str]:
        return [entry.name for entry in self.survey.entries]

    @property
    def name(self) -> str:
        return self.names[0] if self.names else "port %d" % self.port

    def row(self) -> Dict[str, Any]:
        name = self.names[0] if self.names else None
        return {"port": self.port, "entry": name, "again": name and _load_command(name, self.port)}


def make_room(
    ctx: Context, job: Job, plan: LoadPlan, disk: DiskReservation, locks: ExitStack
) -> List[EvictedPort]:
    """Unload what has to go for the plan to fit, and the port that its model moves from. `locks`
    keeps the ports until the load ends."""
    fit = current_fit(ctx, plan)
    short = fit is not None and not fit.fits and plan.request.evict
    ports = [*([plan.home] if plan.home else []), *(fit.unload if fit and short else ())]
    if not ports:
        return []
    evicted = [_lock(ctx, plan, disk, locks, port) for port in ports]
    # Stop nothing before all of them may be stopped.
    disk.check_writable()
    for one in evicted:
        reason = "moving" if one.port == plan.home else "making room"
        job.phase("evict", "%s: unloading %s from port %d" % (reason, one.name, one.port))
        _stop(ctx, job, plan, disk, one)
        _clear(ctx, plan, one)
        one.job.set_phase("evicted")
    wait_for(partial(_fits, ctx, plan), Deadline(RELEASE_TIMEOUT_S), POLL_INTERVAL_S)
    check_memory(ctx, plan.memory_request, plan.request._replace(evict=False))
    return evicted


def _lock(
    ctx: Context, plan: LoadPlan, disk: DiskReservation, locks: ExitStack, port: int
) -> EvictedPort:
    """Lock the port and reserve what its rollback needs; PortBusy if it cannot be evicted."""
    holders = ctx.store.read().holders(port)
    name = holders[0].name if holders else None
    # A move that was killed is repeated by its load.
    retry = _load_command(name, port) if name and port != plan.home else None
    job = locks.enter_context(begin(ctx, port, _why(plan, port), again=retry, entry=name))
    port_survey = survey(ctx, port, own_lock=True)
    entry = port_survey.entries[0] if port_survey.entries else None
    spec = restart_spec(ctx, port, port_survey.server, entry) if port_survey.server else None
    require_no_restarter(ctx, port_survey)
    _require_evictable(port_survey, spec, plan.request.rollback)
    evicted = EvictedPort(job, port_survey, spec)
    if port == plan.home:
        _require_still_home(plan, evicted)
    # The load has reserved its own entry.
    names = [one for one in evicted.names if one != plan.entry.name]
    with ctx.store.locked(_why(plan, port)):
        require_unreserved(ctx, names, port)
        job.reserve(names)
    disk.reserve(port, EVICTION_EDITS, servers=1)
    disk.reserve_job_log(job.log)
    return evicted


def _require_still_home(plan: LoadPlan, evicted: EvictedPort) -> None:
    """AssignmentConflict if the port has changed hands since the plan was made."""
    if evicted.names != [plan.entry.name]:
        text = "%s is no longer on port %d" % (plan.entry.name, evicted.port)
        raise AssignmentConflict(text, "mlxops status", entry=plan.entry.name, port=evicted.port)


def require_movable(ctx: Context, plan: LoadPlan) -> None:
    """Raise if the port that the model moves from cannot be unloaded."""
    port = plan.home
    if port is None or plan.already_served:
        return
    home = survey(ctx, ctx.site.require_port(port), own_lock=False)
    entry = home.entries[0] if home.entries else None
    spec = restart_spec(ctx, port, home.server, entry) if home.server else None
    require_no_restarter(ctx, home)
    _require_evictable(home, spec, plan.request.rollback)


def _require_evictable(
    port_survey: PortSurvey, spec: Union[ServerSpec, Unrestartable, None], rollback: bool
) -> None:
    port = port_survey.evidence.port
    unload = mlxops_command("unload", port)
    if isinstance(spec, Unrestartable) and rollback:
        text = "port %d cannot be unloaded for this load: its server could not be restarted: %s"
        raise PortBusy(text % (port, spec.reason), unload + " first", port=port)
    if port_survey.unregistered_server is not None:
        text = "port %d is not unloaded for this load: its server, pid %d, is not in the registry"
        raise PortBusy(
            text % (port, port_survey.unregistered_server.process.pid), unload, port=port
        )


def _stop(
    ctx: Context, job: Job, plan: LoadPlan, disk: DiskReservation, evicted: EvictedPort
) -> None:
    undo = partial(job.undo.push, evicted=evicted.row())
    try:
        warning = stop_occupants(ctx, evicted.job, evicted.survey, plan.request.grace_s)
    except Interrupted:  # raised before the first signal
        raise
    except Exception:
        undo(partial(_report_unknown, evicted))
        raise
    undo(partial(_restore, ctx, plan, disk, evicted))
    if warning:
        evicted.job.warn(warning.message)


def _clear(ctx: Context, plan: LoadPlan, evicted: EvictedPort) -> None:
    """The entry keeps the port as `wanted` until the load has succeeded."""
    if evicted.names:
        why = _why(plan, evicted.port)
        ctx.store.edit(why, lambda now: now.clear(evicted.port, *evicted.names))


def _report_unknown(evicted: EvictedPort, _: MlxopsError) -> str:
    status = mlxops_command("status", evicted.port)
    return "the state of %s is unknown; check with: %s" % (evicted.name, status)


def _restore(
    ctx: Context, plan: LoadPlan, disk: DiskReservation, evicted: EvictedPort, _: MlxopsError
) -> str:
    """Restart the server if the load wants a rollback; return the outcome in words."""
    if evicted.spec is None:
        return "the port is empty"
    if not plan.request.rollback or isinstance(evicted.spec, Unrestartable):
        return "%s was unloaded; %s" % (evicted.name, _load_command(evicted.name, evicted.port))
    return restart_previous(ctx, evicted.job, disk, evicted.spec)


def forget_evicted(ctx: Context, job: Job, plan: LoadPlan, evicted: EvictedPort) -> None:
    """The load has succeeded: treat what made room for it as unloaded by `unload`."""

    def change(now: Registry) -> Registry:
        return now.put(*(e.with_fields(wanted=None) for e in now.lost(evicted.port)))

    try:
        ctx.store.edit(_why(plan, evicted.port), change)
    except Exception as exc:
        # The load has succeeded anyway.
        job.warn("port %d: %s" % (evicted.port, to_mlxops_error(exc).message))


def _why(plan: LoadPlan, port: int) -> str:
    form = "unload %d for the move: %s" if port == plan.home else "unload %d to make room for %s"
    return form % (port, plan.request.why)


def _fits(ctx: Context, plan: LoadPlan) -> bool:
    return plan.memory_request is None or memory.fit(ctx, plan.memory_request).fits


def current_fit(ctx: Context, plan: LoadPlan) -> Optional[Fit]:
    """The fit now, since the download may have taken hours. Falls back to the plan's fit if memory
    cannot be read; without a download or --evict that is a moment old."""
    request = plan.request
    if plan.remote is None and not request.evict:
        return plan.fit
    if request.evict:
        check_assignment(ctx, ctx.store.read().entries.get(plan.entry.name, plan.entry), request)
    return check_memory(ctx, plan.memory_request, request)[0] or plan.fit


def planned_evictions(plan: LoadPlan) -> List[Tuple[Optional[str], int, str]]:
    """The entry and the port of each server that would be unloaded, and why."""
    fit, registry, home = plan.fit, plan.survey.registry, plan.home
    moved = [(plan.entry.name, home, "it moves to port %d" % plan.request.port)] if home else []
    if fit is None or not plan.request.evict:
        return [*moved]
    names = {port: next((e.name for e in registry.holders(port)), None) for port in fit.unload}
    sizes = {port: memory.format_gib(fit.used_by_port[port]) for port in fit.unload}
    evicted = [(names[port], port, "its server uses %s" % sizes[port]) for port in fit.unload]
    return [*moved, *evicted]


def _load_command(name: str, port: int) -> str:
    return mlxops_command("load", name, port)
