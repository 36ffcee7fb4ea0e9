"""Empty a port: stop whatever of this user serves there, with proof, and see whether it comes
back."""

from __future__ import annotations

from functools import partial
from typing import Callable, Iterable, Iterator, Optional

from ..context import Context
from ..errors import NotStopped, Respawned, to_mlxops_error
from ..jobs.job import Job
from ..ports.evidence import PortEvidence, Server
from ..ports.survey import PortSurvey
from ..procs import Unobservable
from . import marks
from .drain import connections, drain
from .respawn import RespawnWatch
from .stop import StopTarget, stop, stop_target


def vacate_port(
    ctx: Context, job: Job, ground: PortSurvey, grace_s: Optional[float]
) -> Optional[NotStopped]:
    """Empty the port. The error, where the occupant is gone and the port is still not free: then it
    comes back."""
    try:
        feared = stop_occupants(ctx, job, ground, grace_s)
    except NotStopped as exc:
        if not exc.fields.get("gone"):
            raise
        return exc
    if feared:
        job.warn(feared.message)
    return None


def stop_occupants(
    ctx: Context, job: Job, ground: PortSurvey, grace_s: Optional[float]
) -> Optional[Respawned]:
    """Stop whatever of ours is on the port, with proof; the registry is left alone.

    Raises Respawned where the port is taken again at once; returns it where that is still to be
    feared."""
    prey, watch = _prey(ctx, ground), RespawnWatch(ctx, ground)
    ctx.client.check()
    grace = ctx.site.grace_s if grace_s is None else grace_s
    if prey is not None:
        _stop(ctx, job, ground, prey, grace)
    elsewhere = ground.evidence.other_hosts
    if elsewhere:
        job.phase("stop", "stopping %s" % elsewhere.text)
        elsewhere.stop(ctx, ground.evidence.port, grace)
    return watch.check()


def _stop(ctx: Context, job: Job, ground: PortSurvey, prey: StopTarget, grace: float) -> None:
    left = [s for s in ground.evidence.strays if s.process not in prey.first]
    if left:
        job.warn(
            "not stopped: %s was started for port %d too, but does not listen there"
            % (_pids(left), prey.port)
        )
    _drain(ctx, job, ground, grace)
    job.phase("stop", "stopping pid %s on port %d" % (prey.pids, prey.port))

    def end() -> None:
        stop(
            ctx.procs,
            prey,
            grace,
            lambda text: job.emit("phase", phase="stop", message=text),
            lambda: connections(ctx.procs, prey.port),
        )

    try:
        end()
    except (OSError, Unobservable) as exc:
        # A signal may have been sent by now: the only way is on.
        job.warn("stopping it failed: %s; trying once more" % to_mlxops_error(exc).message)
        _again(ctx, prey, end)


def _again(ctx: Context, prey: StopTarget, end: Callable[[], None]) -> None:
    try:
        end()
    except (OSError, Unobservable) as exc:
        text = "pid %s on port %d was told to stop, but it is unknown whether it did: %s"
        told = text % (prey.pids, prey.port, to_mlxops_error(exc).message)
        raise NotStopped(told, "mlxops status %d" % prey.port, port=prey.port) from exc


def _drain(ctx: Context, job: Job, ground: PortSurvey, grace_s: float) -> None:
    """Of the other runtimes an open connection tells nothing, or they finish their requests after
    the signal."""
    server = ground.server
    # One that is stopped would never finish its requests.
    if (
        server is not None
        and server.invocation.runtime.call_per_connection
        and not server.process.stopped
    ):
        said = partial(job.emit, "phase", phase="drain")
        drain(
            ctx.procs,
            ground.evidence.port,
            grace_s,
            ctx.client.check,
            lambda text: said(message=text),
        )


def _prey(ctx: Context, ground: PortSurvey) -> Optional[StopTarget]:
    seen = ground.evidence
    if seen.proven:
        return _family(ctx, seen)
    if seen.servers:
        names = " and ".join([_pids(seen.servers), *seen.foreign_holders])
        text = (
            "%s: started as servers for port %d, but none of them listens there or is in the "
            "registry"
        )
        hint = "stop those that are yours on the host"
        raise NotStopped(text % (names, seen.port), hint, port=seen.port)
    if seen.orphan_workers:
        return StopTarget(seen.port, ctx.site.bind, seen.orphan_workers[:1], seen.orphan_workers)
    if seen.recorded is not None:
        raise NotStopped(
            "pid %d, recorded for port %d, is running but is not a server of that port"
            % (seen.recorded.pid, seen.port),
            "check it on the host; mlxops only stops servers it can identify",
            port=seen.port,
            pid=seen.recorded.pid,
        )
    return None


def _family(ctx: Context, seen: PortEvidence) -> StopTarget:
    """The port's servers, with all that they forked off into sessions of its own: it bears the same
    mark."""
    mark = next(filter(None, (marks.mark_of(ctx.procs, s.process) for s in seen.proven)), "")
    bearers = marks.marked_processes(ctx.procs, mark, ctx.procs.processes())
    pids = {process.pid for process in bearers}
    mates = [s for s in seen.strays if s.process.pid in pids]
    prey = stop_target((*seen.proven, *mates), seen.port, ctx.site.bind, mark)
    known = {process.pid for process in prey.processes}
    return prey._replace(processes=(*prey.processes, *(p for p in bearers if p.pid not in known)))


def _pids(servers: Iterable[Server]) -> str:
    return "pid " + ", ".join(str(server.process.pid) for server in servers)


def describe_occupants(ground: PortSurvey) -> Iterator[str]:
    """What `vacate` would stop, in words."""
    if ground.server:
        yield "pid %d serves %s" % (ground.server.process.pid, ground.server.invocation.model)
    elif ground.evidence.orphan_workers:
        yield "left by a dead server: pid %s" % ", ".join(
            str(process.pid) for process in ground.evidence.orphan_workers
        )
    if ground.evidence.other_hosts:
        yield ground.evidence.other_hosts.text
