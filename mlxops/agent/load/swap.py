"""Replace the server of a port: stop the old one, start the new one, and restart the old one if
that fails."""

from __future__ import annotations

import os
from functools import partial
from typing import Optional

from ..context import Context
from ..errors import MlxopsError, NotReady, NotStopped, to_mlxops_error
from ..jobs.disk_space import DiskReservation
from ..jobs.job import Job
from ..models import cache as hfcache
from ..procs import Unobservable
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
from ..servers.vacate import vacate_port
from ..site import log_path
from . import startable
from .preflight import check_assignment
from .request import LoadPlan


def swap(
    ctx: Context, job: Job, plan: LoadPlan, spec: ServerSpec, disk: DiskReservation
) -> StartedServer:
    estimate = _prefetch_and_estimate(ctx, job, plan, spec)
    # After a download of hours: the model may have been assigned to another port meanwhile.
    check_assignment(ctx, ctx.store.read().entries.get(plan.entry.name, plan.entry), plan.request)
    disk.check_writable()
    taken_again = vacate_port(ctx, job, plan.survey, plan.request.grace_s)
    previous = plan.previous if isinstance(plan.previous, ServerSpec) else None
    if not plan.request.rollback:
        previous = None
    job.undo.push(partial(_restore, ctx, job, disk, spec, previous))
    if taken_again is not None:
        raise taken_again
    ctx.client.check()
    startable.require_unbound(ctx, spec.port)
    options = StartOptions(estimate, ctx.client.check, disk, clear_on_failure=not _moves(previous))
    return start_server(ctx, job, spec, options)


def _moves(previous: Optional[ServerSpec]) -> bool:
    """Whether a restart of the previous server moves the assignment back in one write."""
    return previous is not None and previous.entry is not None


def _restore(
    ctx: Context,
    job: Job,
    disk: DiskReservation,
    failed: ServerSpec,
    previous: Optional[ServerSpec],
    error: MlxopsError,
) -> str:
    """Restart the previous server; return what is on the port afterwards, in words."""
    if isinstance(error, NotStopped) and not error.fields.get("gone"):
        return "the new server is still running on the port"
    if previous is None:
        return _describe_port(ctx, job)
    log = log_path(ctx.site.state_dir, previous.port)
    log_of_failed = _status(log)
    outcome = restart_previous(ctx, job, disk, previous, failed)
    if isinstance(error, NotReady) and log_of_failed:
        error.hint = log_hint(log_of_failed, log, previous.port) or error.hint
    return outcome


def log_hint(failed: os.stat_result, log: str, port: int) -> str:
    """Where the failed server's log is, if another server writes to the port's log now; else ""."""
    now, before = _status(log), _status(log + ".1")
    if now is None or os.path.samestat(failed, now):
        return ""
    if failed.st_size and before and os.path.samestat(failed, before):
        return "the failed server's log: mlxops logs %d --previous" % port
    lack = "was not kept" if failed.st_size else "is empty"
    return "mlxops status %d (the failed server's log %s)" % (port, lack)


def restart_previous(
    ctx: Context,
    job: Job,
    disk: DiskReservation,
    previous: ServerSpec,
    failed: Optional[ServerSpec] = None,
) -> str:
    """Restart a server that was stopped; return the outcome in words.

    `failed`: the server that took its place, and whose assignment the restart replaces."""
    name = previous.entry.name if previous.entry else previous.argv[0]
    try:
        job.rollback("starting", "restarting %s" % name)
        estimate = _estimate(ctx, previous, _weights(previous), None, None)
        options = StartOptions(estimate, lambda: None, disk, restoring=True)
        started = restart_server(ctx, job, previous, options)
    except Exception as exc:  # reported with the error that came first
        if failed is not None and _moves(previous):
            clear_assignment(ctx, job, failed)
        return "%s could not be restarted: %s" % (name, to_mlxops_error(exc).message)
    if started.record_error and previous.entry:
        text = "%s serves again, but is not in the registry yet (%s); fix that, then: %s"
        return text % (name, started.record_error, "mlxops reconcile")
    return "%s serves again" % name


def _describe_port(ctx: Context, job: Job) -> str:
    """Whether the port is empty now: another registry's load may have taken it."""
    port = job.port
    try:
        if ctx.procs.free(port, ctx.site.bind):
            return "the port is empty"
        pids = sorted({str(ln.pid) for ln in ctx.procs.listeners([port]) if ln.pid})
    except (Unobservable, OSError):
        return "cannot tell what is on the port; see: mlxops status %d" % port
    return "the port is held by %s" % ("pid " + ", ".join(pids) if pids else "another process")


def _status(log: str) -> Optional[os.stat_result]:
    try:
        return os.stat(log)
    except OSError:
        return None


def _prefetch_and_estimate(
    ctx: Context, job: Job, plan: LoadPlan, spec: ServerSpec
) -> StartupEstimate:
    """Read the weights ahead while the old server still serves; return how long the start may
    take."""
    path, weights = spec.entry.cache_path if spec.entry else "", _weights(spec)
    rate = prefetch_weights(ctx, job, path, weights, plan.survey.server is not None).bytes_per_s
    estimate = _estimate(ctx, spec, weights, plan.request.timeout_s, rate)
    warning = abort_warning(spec.runtime, estimate, weights, rate)
    if warning:
        job.warn(warning)
    return estimate


def _weights(spec: ServerSpec) -> Optional[int]:
    return hfcache.weights_bytes(spec.entry.cache_path) if spec.entry else None


def _estimate(
    ctx: Context,
    spec: ServerSpec,
    weights: Optional[int],
    timeout_s: Optional[float],
    bytes_per_s: Optional[float],
) -> StartupEstimate:
    """The time limit as given, else the host file's, else from earlier starts or size and disk."""
    estimate = estimate_startup(spec.entry, spec.runtime, weights, bytes_per_s)
    return estimate._replace(
        timeout_s=timeout_s or ctx.site.startup_timeout_s or estimate.timeout_s
    )
