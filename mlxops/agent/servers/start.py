"""Start a server for an entry, on record from the first moment, and wait until it serves; undo it
on failure."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Tuple

from ..api_key import ApiKey, api_key
from ..clock import Deadline, now, wait_for
from ..context import Context
from ..errors import AssignmentConflict, is_resource_shortage, to_mlxops_error
from ..jobs.disk_space import DiskReservation
from ..jobs.job import Job
from ..logs.loading import LoadingReport
from ..models.defaults import unset_keys
from ..ports.expected import read_limit
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
# A shortage of processes, descriptors or memory may be brief.
RETRY_S = 10.0


class ServerSpec(NamedTuple):
    """A server to start: its entry (None for an orphan's restart), command line and names.

    `listed_name`: what /v1/models must show, None if that proves nothing. `require_clean_output`:
    fail if raw control tokens reach a client. `keep`: once it is ready, its entry wants the
    port."""

    port: int
    entry: Optional[Entry]
    runtime: Runtime
    argv: Tuple[str, ...]
    listed_name: Optional[str]
    chat_name: str
    require_clean_output: bool = False
    keep: bool = True

    @property
    def kept_record(self) -> Mapping[str, Any]:
        """What the record of its process says of `keep`."""
        return {} if self.keep else {"keep": False}


class StartedServer(NamedTuple):
    """A server that is ready: seconds since its start, and what its first answer shows.

    `record_error`: why it could not be recorded in the registry, "" if it was."""

    seconds: float
    verification: Verification
    record_error: str = ""


class StartOptions(NamedTuple):
    """How a server is started. `restoring`: it is the previous server, whose restart must not
    depend on any write.

    `clear_on_failure`: clear its assignment after a failure; else the caller assigns another
    entry."""

    estimate: StartupEstimate
    check: Callable[[], None]
    room: DiskReservation
    restoring: bool = False
    clear_on_failure: bool = True


def start_server(ctx: Context, job: Job, spec: ServerSpec, options: StartOptions) -> StartedServer:
    """Start a server, assign the port to it in one write, and wait until it serves. Stop it again
    on any failure."""
    job.phase("launch", "starting %s" % spec.runtime.name)
    with other_hosts.gated(ctx, spec.entry, spec.port, options.check) as remote:
        return _start(ctx, job, spec, options, remote)


def restart_server(
    ctx: Context, job: Job, spec: ServerSpec, options: StartOptions
) -> StartedServer:
    """Like start_server, for the previous server: retried for some seconds if the host lacks
    processes, descriptors or memory."""
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


def _start(
    ctx: Context, job: Job, spec: ServerSpec, options: StartOptions, remote: RemoteStart
) -> StartedServer:
    env = {
        **ctx.site.server_env,
        **remote.environment(ctx.site.state_dir, spec.port),
        **_key(ctx, spec).environment(spec.runtime),
    }
    pending = launch_in(ctx.procs, spec.argv, env, _place(ctx, job, spec, options))
    try:
        record = {**pending.record(ctx.who), **remote.record(), **spec.kept_record}
        record_error = _record(ctx, job, spec, record, options.restoring)
        remote.release()
        pending.release()
        began = time.monotonic()
        with LoadingReport(ctx, job, spec.entry, pending.process.pid) as report:
            report.begin(options.estimate.expected_s, options.estimate.timeout_s)
            proof = wait_ready(
                ctx.procs,
                _starting_server(ctx, spec, pending, began)._replace(restoring=options.restoring),
                options.estimate,
                remote.check,
                report,
            )
        seconds = time.monotonic() - began
    except BaseException:
        _undo_start(ctx, job, spec, pending, remote)
        if options.clear_on_failure:
            clear_assignment(ctx, job, spec)
        raise
    if not record_error:
        _commit(ctx, job, spec, pending, seconds)
    return StartedServer(seconds, proof, record_error)


def _place(ctx: Context, job: Job, spec: ServerSpec, options: StartOptions) -> ServerFiles:
    state_dir, spare = ctx.site.state_dir, options.room.take_log(spec.port)
    try:
        files = (prepare_files_or_discard if options.restoring else prepare_files)(
            state_dir, spec.port, spare
        )
    except OSError as exc:
        raise launch_error(exc, state_dir, spec.port) from exc
    if files.log_error:
        job.warn("its output is not logged: %s" % files.log_error)
    elif spec.entry is not None:
        job.note_server(spec.entry.name, files.log.fileno())
    return files


def _record(ctx: Context, job: Job, spec: ServerSpec, record: Mapping[str, Any], back: bool) -> str:
    """Assign the port to the server. On a restart a failure is tolerated: returns it, or ""."""
    try:
        _assign(ctx, spec, record)
    except AssignmentConflict:
        raise
    except Exception as exc:
        if not back:
            raise
        if spec.entry:
            job.report_unrecorded(spec.entry.name, record)
        return to_mlxops_error(exc).message
    job.clear_unrecorded()
    return ""


def _commit(
    ctx: Context, job: Job, spec: ServerSpec, pending: PendingServer, seconds: float
) -> None:
    try:
        job.phase("commit", "ready")
        _mark_ready(ctx, spec, pending, seconds)
    except Exception as exc:
        # It is ready and on record: a failed note must not trigger a rollback.
        job.warn("could not record that it is ready: %s" % to_mlxops_error(exc).message)


def _starting_server(
    ctx: Context, spec: ServerSpec, pending: PendingServer, began: float
) -> StartingServer:
    return StartingServer(
        pending=pending,
        runtime=spec.runtime,
        port=spec.port,
        address=ctx.site.probe_address,
        served_name=spec.listed_name,
        chat_name=spec.chat_name,
        log=log_path(ctx.site.state_dir, spec.port),
        began=began,
        require_clean_output=spec.require_clean_output,
        entry=spec.entry.name if spec.entry else "",
        key=_key(ctx, spec),
    )


def _key(ctx: Context, spec: ServerSpec) -> ApiKey:
    return api_key(ctx.site, spec.port, spec.runtime.name)


def _assign(ctx: Context, spec: ServerSpec, record: Mapping[str, Any]) -> None:
    entry = spec.entry
    if entry is None:
        return

    def move(current: Registry) -> Registry:
        there = current.entries.get(entry.name)
        if there is not None and there.port not in (None, spec.port):
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
        return current.put(merged).assign(entry.name, spec.port, record)

    ctx.store.edit("load %s %d" % (entry.name, spec.port), move)


def _mark_ready(ctx: Context, spec: ServerSpec, pending: PendingServer, seconds: float) -> None:
    """Record that it was ready, and after how long: an answer to /health alone does not prove that
    the weights are loaded."""

    family = family_record(tree(ctx.procs.processes(), pending.process.pid), pending.process)

    def mark(current: Registry) -> Registry:
        entry = current.entries.get(spec.entry.name) if spec.entry else None
        if entry is None or (entry.process or {}).get("pid") != pending.process.pid:
            return current
        process = {**(entry.process or {}), "ready_at": now(), "family": family}
        process.update(read_limit(ctx.procs, spec.runtime, process, entry.cache_path))
        served = entry.with_fields(process=process)
        registry = current.put(record_start(served, spec.runtime, seconds))
        return registry.want(entry.name, spec.port) if spec.keep else registry

    ctx.store.edit("serves on %d" % spec.port, mark)


def _undo_start(
    ctx: Context, job: Job, spec: ServerSpec, pending: PendingServer, remote: RemoteStart
) -> None:
    """Stop what was started, on every host, with proof."""
    job.rollback("stopping", "stopping the new server")
    remote.abandon()
    pending.abort()
    try:
        target = _stop_target(ctx, spec.port, pending)
        report = partial(job.emit, "phase", phase="rollback")
        # Do not wait for the port itself: another process may have it.
        stop(
            ctx.procs, target, UNDO_GRACE_S, lambda text: report(message=text), must_free_port=False
        )
    finally:
        remote.stop(ctx, spec.port, UNDO_GRACE_S)


def clear_assignment(ctx: Context, job: Job, spec: ServerSpec) -> None:
    """Clear the assignment of a server whose start was undone."""
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
        # The server is gone, which reconcile will see too: the rollback must not fail here.
        job.warn(
            "could not clear the assignment of port %d: %s"
            % (spec.port, to_mlxops_error(exc).message)
        )


def _stop_target(ctx: Context, port: int, pending: PendingServer) -> StopTarget:
    table = ctx.procs.processes()
    marked = marks.marked_processes(ctx.procs, pending.mark, table)
    ours = {p.pid for p in (*tree(table, pending.process.pid), *marked)}
    servers = [
        s for s in find_servers(table, ctx.site.runtimes).get(port, ()) if s.process.pid in ours
    ]
    if servers:
        return stop_target(servers, port, ctx.site.bind, pending.mark)
    family = tuple(
        p
        for p in table.values()
        if not p.zombie and (p.pid in ours or p.pgid == pending.process.pid)
    )
    return StopTarget(
        port=port, bind=ctx.site.bind, first=(pending.process,), processes=family, mark=pending.mark
    )
