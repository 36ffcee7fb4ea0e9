"""Stop all of this user's servers on a port, with proof, and watch whether one comes back."""

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
    ctx: Context, job: Job, survey: PortSurvey, grace_s: Optional[float]
) -> Optional[NotStopped]:
    """Stop all servers on the port. Returns the error if they are gone but the port is not free:
    the caller restores it."""
    try:
        respawned = stop_occupants(ctx, job, survey, grace_s)
    except NotStopped as exc:
        if not exc.fields.get("gone"):
            raise
        return exc
    if respawned:
        job.warn(respawned.message)
    return None


def stop_occupants(
    ctx: Context, job: Job, survey: PortSurvey, grace_s: Optional[float]
) -> Optional[Respawned]:
    """Stop all of this user's servers on the port, with proof; the registry is not changed.

    Raises Respawned if the port is in use again at once; returns it if that may still happen."""
    target, watch = _stop_target(ctx, survey), RespawnWatch(ctx, survey)
    ctx.client.check()
    grace = ctx.site.grace_s if grace_s is None else grace_s
    if target is not None:
        _stop(ctx, job, survey, target, grace)
    elsewhere = survey.evidence.other_hosts
    if elsewhere:
        job.phase("stop", "stopping %s" % elsewhere.text)
        elsewhere.stop(ctx, survey.evidence.port, grace)
    return watch.check()


def _stop(ctx: Context, job: Job, survey: PortSurvey, target: StopTarget, grace: float) -> None:
    strays = [s for s in survey.evidence.strays if s.process not in target.first]
    if strays:
        job.warn(
            "not stopped: %s was started for port %d too, but does not listen there"
            % (_pids(strays), target.port)
        )
    _drain(ctx, job, survey, grace)
    names = " and ".join(entry.name for entry in survey.entries) or "pid " + target.pids
    job.phase("stop", "stopping %s" % names)

    def end() -> None:
        stop(
            ctx.procs,
            target,
            grace,
            lambda text: job.emit("phase", phase="stop", message=text),
            lambda: connections(ctx.procs, target.port),
        )

    try:
        end()
    except (OSError, Unobservable) as exc:
        # A signal may have been sent: continue.
        job.warn("stopping it failed: %s; trying once more" % to_mlxops_error(exc).message)
        _retry(ctx, target, end)


def _retry(ctx: Context, target: StopTarget, end: Callable[[], None]) -> None:
    try:
        end()
    except (OSError, Unobservable) as exc:
        text = "pid %s on port %d was told to stop, but it is unknown whether it did: %s"
        message = text % (target.pids, target.port, to_mlxops_error(exc).message)
        raise NotStopped(message, "mlxops status %d" % target.port, port=target.port) from exc


def _drain(ctx: Context, job: Job, survey: PortSurvey, grace_s: float) -> None:
    """Only for runtimes whose open connections are requests and that would cut them off."""
    server = survey.server
    # A stopped process would never finish its requests.
    if (
        server is not None
        and server.invocation.runtime.call_per_connection
        and not server.process.stopped
    ):
        report = partial(job.emit, "phase", phase="drain")
        drain(
            ctx.procs,
            survey.evidence.port,
            grace_s,
            ctx.client.check,
            lambda text: report(message=text),
        )


def _stop_target(ctx: Context, survey: PortSurvey) -> Optional[StopTarget]:
    evidence = survey.evidence
    if evidence.proven:
        return _family(ctx, evidence)
    if evidence.servers:
        names = " and ".join([_pids(evidence.servers), *evidence.foreign_holders])
        text = (
            "%s: started as servers for port %d, but none of them listens there or is in the "
            "registry"
        )
        hint = "stop those that are yours on the host"
        raise NotStopped(text % (names, evidence.port), hint, port=evidence.port)
    if evidence.orphan_workers:
        return StopTarget(
            evidence.port, ctx.site.bind, evidence.orphan_workers[:1], evidence.orphan_workers
        )
    if evidence.recorded is not None:
        raise NotStopped(
            "pid %d, recorded for port %d, is running but is not a server of that port"
            % (evidence.recorded.pid, evidence.port),
            "check it on the host; mlxops only stops servers it can identify",
            port=evidence.port,
            pid=evidence.recorded.pid,
        )
    return None


def _family(ctx: Context, evidence: PortEvidence) -> StopTarget:
    """The port's servers, with the marked processes they moved to other sessions."""
    mark = next(filter(None, (marks.mark_of(ctx.procs, s.process) for s in evidence.proven)), "")
    bearers = marks.marked_processes(ctx.procs, mark, ctx.procs.processes())
    pids = {process.pid for process in bearers}
    mates = [s for s in evidence.strays if s.process.pid in pids]
    target = stop_target((*evidence.proven, *mates), evidence.port, ctx.site.bind, mark)
    known = {process.pid for process in target.processes}
    return target._replace(
        processes=(*target.processes, *(p for p in bearers if p.pid not in known))
    )


def _pids(servers: Iterable[Server]) -> str:
    return "pid " + ", ".join(str(server.process.pid) for server in servers)


def describe_occupants(survey: PortSurvey) -> Iterator[str]:
    """What `stop_occupants` would stop, as text."""
    if survey.server:
        yield "pid %d serves %s" % (survey.server.process.pid, survey.server.invocation.model)
    elif survey.evidence.orphan_workers:
        yield "left by a dead server: pid %s" % ", ".join(
            str(process.pid) for process in survey.evidence.orphan_workers
        )
    if survey.evidence.other_hosts:
        yield survey.evidence.other_hosts.text
