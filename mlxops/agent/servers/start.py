"""Start a server for an entry, on record from its first moment, and see it serve; or take it
back."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Tuple

from ..clock import Deadline, now, wait_for
from ..context import Context
from ..errors import AssignmentConflict, is_resource_shortage, to_mlxops_error
from ..jobs.disk_space import DiskReservation
from ..jobs.job import Job
from ..models.defaults import unset_keys
from ..ports.observe import family_record, find_servers
from ..procs import tree
from ..ranks import other_hosts
from ..ranks.other_hosts import RemoteStart
from ..registry.entries import Entry, Registry
from ..runtimes.table import Runtime
from ..site import log_path
from ..verify.verification import Verification
from . import marks
from .launch import (
    PendingServer,
    ServerFiles,
    launch_error,
    launch_in,
    prepare_files,
    prepare_files_or_discard,
)
from .ready import StartingServer, wait_ready
from .startup_time import StartupEstimate, record_start
from .stop import StopTarget, stop, stop_target

UNDO_GRACE_S = 10.0
# A shortage of processes, descriptors or memory may pass.
RETRY_S = 10.0


class ServerSpec(NamedTuple):
    """A server to be started: the entry it is for (None: nobody's, as an orphan was), its command
    line, its names.

    `listed`: what /v1/models must show, None where that proves nothing. `clean`: one whose raw tags
    reach a client is no success."""

    port: int
    entry: Optional[Entry]
    runtime: Runtime
    argv: Tuple[str, ...]
    listed_name: Optional[str]
    chat_name: str
    require_clean_output: bool = False


class StartedServer(NamedTuple):
    """A server that serves: the seconds from its start until it did, and what its first answer
    shows.

    `unnoted`: why the registry does not know of it, "" when it does."""

    seconds: float
    verification: Verification
    record_error: str = ""


class StartOptions(NamedTuple):
    """How a server is started. `back`: the one before, whose start depends on no write.

    `clears`: after a failure its assignment is cleared here; else the caller puts another entry in
    its place."""

    estimate: StartupEstimate
    check: Callable[[], None]
    room: DiskReservation
    restoring: bool = False
    clear_on_failure: bool = True


def start_server(ctx: Context, job: Job, spec: ServerSpec, options: StartOptions) -> StartedServer:
    """Start it, move the assignment to it in one write, wait until it serves. On any failure it is
    stopped again."""
    job.phase("launch", "starting %s on port %d" % (spec.runtime.name, spec.port))
    with other_hosts.gated(ctx, spec.entry, spec.port, options.check) as others:
        return _bring_up(ctx, job, spec, options, others)


def restart_server(
    ctx: Context, job: Job, spec: ServerSpec, options: StartOptions
) -> StartedServer:
    """As bring_up, for the server that served before: where the host is short of processes,
    descriptors or memory for the moment, it is tried again for some seconds."""
    failed: List[Exception] = []

    def once() -> Optional[StartedServer]:
        try:
            return start_server(ctx, job, spec, options)
        except Exception as exc:
            if not is_resource_shortage(exc):
                raise
            failed.append(exc)
            if len(failed) == 1:
                text = "%s; retrying for %.0f s" % (to_mlxops_error(exc).message, RETRY_S)
                job.rollback("starting", text)
            return None

    served = wait_for(once, Deadline(RETRY_S), interval_s=0.2, max_interval_s=1.0)
    if served is None:
        error = to_mlxops_error(failed[-1])
        error.message += " (tried %d times in %.0f s)" % (len(failed), RETRY_S)
        raise error
    return served


def _bring_up(
    ctx: Context, job: Job, service: ServerSpec, way: StartOptions, others: RemoteStart
) -> StartedServer:
    env = {**ctx.site.server_env, **others.environment(ctx.site.state_dir, service.port)}
    gated = launch_in(ctx.procs, service.argv, env, _place(ctx, job, service, way))
    try:
        unnoted = _on_record(
            ctx, job, service, {**gated.record(ctx.who), **others.record()}, way.restoring
        )
        others.release()
        gated.release()
        began = time.monotonic()
        usual = (
            "" if way.estimate.expected_s is None else ", usually %.0f s" % way.estimate.expected_s
        )
        job.phase("wait", "waiting for the server" + usual)
        proof = wait_ready(
            ctx.procs,
            _start(ctx, service, gated, began),
            way.estimate,
            others.check,
            lambda text: job.emit("phase", phase="wait", message=text),
        )
        seconds = time.monotonic() - began
    except BaseException:
        _take_back(ctx, job, service, gated, others)
        if way.clear_on_failure:
            clear_assignment(ctx, job, service)
        raise
    if not unnoted:
        _commit(ctx, job, service, gated, seconds)
    return StartedServer(seconds, proof, unnoted)


def _place(ctx: Context, job: Job, service: ServerSpec, way: StartOptions) -> ServerFiles:
    state_dir, spare = ctx.site.state_dir, way.room.take_log(service.port)
    try:
        found = (prepare_files_or_discard if way.restoring else prepare_files)(
            state_dir, service.port, spare
        )
    except OSError as exc:
        raise launch_error(exc, state_dir, service.port) from exc
    if found.log_error:
        job.warn("its output is not logged: %s" % found.log_error)
    return found


def _on_record(
    ctx: Context, job: Job, service: ServerSpec, record: Mapping[str, Any], back: bool
) -> str:
    """Assign the port to it. On the way back it serves all the same: "" or why it could not be
    noted."""
    try:
        _assign(ctx, service, record)
    except AssignmentConflict:
        raise
    except Exception as exc:
        if not back:
            raise
        if service.entry:
            job.report_unrecorded(service.entry.name, record)
        return to_mlxops_error(exc).message
    job.clear_unrecorded()
    return ""


def _commit(
    ctx: Context, job: Job, service: ServerSpec, gated: PendingServer, seconds: float
) -> None:
    try:
        job.phase("commit", "ready")
        _mark_ready(ctx, service, gated, seconds)
    except Exception as exc:
        # It serves and is on record: a note that cannot be kept must not have the previous model
        # started beside it.
        job.warn("could not record that it is ready: %s" % to_mlxops_error(exc).message)


def _start(ctx: Context, service: ServerSpec, gated: PendingServer, began: float) -> StartingServer:
    return StartingServer(
        pending=gated,
        runtime=service.runtime,
        port=service.port,
        address=ctx.site.probe_address,
        served_name=service.listed_name,
        chat_name=service.chat_name,
        log=log_path(ctx.site.state_dir, service.port),
        began=began,
        require_clean_output=service.require_clean_output,
    )


def _assign(ctx: Context, service: ServerSpec, record: Mapping[str, Any]) -> None:
    entry = service.entry
    if entry is None:
        return

    def move(current: Registry) -> Registry:
        there = current.entries.get(entry.name)
        if there is not None and there.port not in (None, service.port):
            raise AssignmentConflict(
                "%s was assigned to port %d in the meantime" % (entry.name, there.port),
                "mlxops unload %d, then load it again" % there.port,
                entry=entry.name,
                port=there.port,
            )
        ours = {key: entry.fields.get(key) for key in ("cache_path", "revision")}
        ours.update(
            {key: entry.fields.get(key) for key in unset_keys(there.fields)} if there else {}
        )
        merged = there.with_fields(**ours) if there else entry
        return current.put(merged).assign(entry.name, service.port, record)

    ctx.store.edit("load %s %d" % (entry.name, service.port), move)


def _mark_ready(ctx: Context, service: ServerSpec, gated: PendingServer, seconds: float) -> None:
    """Keep that it once served, and after how long: an answer to /health alone does not show that
    the weights are loaded."""

    family = family_record(tree(ctx.procs.processes(), gated.process.pid), gated.process)

    def mark(current: Registry) -> Registry:
        entry = current.entries.get(service.entry.name) if service.entry else None
        if entry is None or (entry.process or {}).get("pid") != gated.process.pid:
            return current
        served = entry.with_fields(
            process={**(entry.process or {}), "ready_at": now(), "family": family}
        )
        return current.put(record_start(served, service.runtime, seconds)).want(
            entry.name, service.port
        )

    ctx.store.edit("serves on %d" % service.port, mark)


def _take_back(
    ctx: Context, job: Job, service: ServerSpec, gated: PendingServer, others: RemoteStart
) -> None:
    """End what was started, on every host, gone with proof."""
    job.rollback("stopping", "stopping the new server")
    others.abandon()
    gated.abort()
    try:
        prey = _prey(ctx, service.port, gated)
        said = partial(job.emit, "phase", phase="rollback")
        # Who else has the port is not ours to wait for: what was started here is gone.
        stop(ctx.procs, prey, UNDO_GRACE_S, lambda text: said(message=text), must_free_port=False)
    finally:
        others.stop(ctx, service.port, UNDO_GRACE_S)


def clear_assignment(ctx: Context, job: Job, spec: ServerSpec) -> None:
    """Clear the assignment of a server that was taken back."""
    if spec.entry is None:
        return
    name = spec.entry.name

    def clear(current: Registry) -> Registry:
        entry = current.entries.get(name)
        ours = entry is not None and entry.port == spec.port
        return (
            current.put(entry.with_fields(port=None, process=None)) if entry and ours else current
        )

    try:
        ctx.store.edit("undo load on %d" % spec.port, clear)
    except Exception as exc:
        # It is gone, which reconcile sees as well: the way back does not wait for the note.
        job.warn(
            "could not clear the assignment of port %d: %s"
            % (spec.port, to_mlxops_error(exc).message)
        )


def _prey(ctx: Context, port: int, gated: PendingServer) -> StopTarget:
    table = ctx.procs.processes()
    marked = marks.marked_processes(ctx.procs, gated.mark, table)
    ours = {p.pid for p in (*tree(table, gated.process.pid), *marked)}
    servers = [
        s for s in find_servers(table, ctx.site.runtimes).get(port, ()) if s.process.pid in ours
    ]
    if servers:
        return stop_target(servers, port, ctx.site.bind, gated.mark)
    family = tuple(
        p for p in table.values() if not p.zombie and (p.pid in ours or p.pgid == gated.process.pid)
    )
    return StopTarget(
        port=port, bind=ctx.site.bind, first=(gated.process,), processes=family, mark=gated.mark
    )
