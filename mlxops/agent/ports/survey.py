"""Survey a port before work on it: what is there, and every reason not to touch it."""

from __future__ import annotations

import os
from functools import partial
from typing import Dict, Iterable, NamedTuple, Optional, Tuple

from ..context import Context
from ..errors import EvidenceUnknown, ForeignListener, Locked, MlxopsError, PortBusy
from ..jobs import job as jobs
from ..jobs.begin import current_job, interrupted_load
from ..procs import ancestors
from ..registry.entries import Entry, Registry
from ..registry.lock import describe_holder
from .evidence import PortEvidence, Server
from .observe import observe


class PortSurvey(NamedTuple):
    """The entries assigned to a port and the evidence about it. `registry_error`: why the registry,
    which is empty here then, cannot be read."""

    registry: Registry
    entries: Tuple[Entry, ...]
    evidence: PortEvidence
    registry_error: Optional[MlxopsError] = None

    @property
    def server(self) -> Optional[Server]:
        return self.evidence.server

    @property
    def unregistered_server(self) -> Optional[Server]:
        """A server that no entry knows: the port's entry neither started it nor has its model."""
        server = self.server
        if server is None or (
            self.evidence.recorded is not None and self.evidence.recorded.pid in _pids(server)
        ):
            return None
        model = server.invocation.model or ""
        own = [
            name
            for e in self.entries
            for name in (e.repo_id, e.model_id, os.path.realpath(e.cache_path or "/"))
        ]
        return None if model in own or os.path.realpath(model or "/-") in own else server


def _pids(server: Server) -> Tuple[int, ...]:
    return (server.process.pid, server.launcher.pid, *(process.pid for process in server.processes))


def survey(ctx: Context, port: int, own_lock: bool, allow_no_registry: bool = False) -> PortSurvey:
    """Survey the port. Raises if it is locked, in use by others, or cannot be observed.

    `allow_no_registry`: also without a registry, if a server of this user listens on the port."""
    registry, fault = ctx.store.read_or_empty()
    if fault and not allow_no_registry:
        raise fault
    evidence = observe_port(ctx, registry, port)
    if own_lock:
        evidence = evidence._replace(job=None)
    if evidence.job is not None:
        text = "port %d is locked: %s" % (port, describe_holder(evidence.job))
        raise Locked(text, jobs.next_step_hint(evidence.job), port=port, holder=evidence.job)
    if evidence.unknown:
        raise EvidenceUnknown(
            "cannot tell what runs on port %d: %s" % (port, "; ".join(evidence.unknown)),
            "nothing was changed",
            port=port,
        )
    _refuse_foreign(evidence)
    _refuse_launchd(ctx, evidence)
    if fault and not (evidence.proven and evidence.listeners):
        raise fault
    return PortSurvey(registry, registry.holders(port), evidence, fault)


def _refuse_foreign(evidence: PortEvidence) -> None:
    # If servers of this user name the port too, the caller that wants to stop them reports it.
    if not evidence.foreign_holders or (evidence.servers and not evidence.foreign_listeners):
        return
    pids = sorted(
        {
            *(ln.pid for ln in evidence.foreign_listeners if ln.pid),
            *(one.pid for one in evidence.foreign_processes),
        }
    )
    raise ForeignListener(
        "port %d is %s" % (evidence.port, evidence.foreign_use),
        _way_out(evidence),
        port=evidence.port,
        pids=pids,
        users=sorted({one.user for one in evidence.foreign_processes}),
    )


def _way_out(evidence: PortEvidence) -> str:
    users = sorted({one.user for one in evidence.foreign_processes if one.is_server})
    if users:
        text = "run mlxops as %s, or ask %s to stop it; mlxops only stops servers of its own user"
        return text % (users[0], users[0])
    return "stop it on the host; mlxops only stops model servers of its own user"


def _refuse_launchd(ctx: Context, evidence: PortEvidence) -> None:
    """A launchd job would start its server again; only root can stop the job."""
    if evidence.server is None:
        return
    table = ctx.procs.processes()
    line = {
        evidence.server.process.pid,
        *(p.pid for p in ancestors(table, evidence.server.process.pid)),
    }
    for job in ctx.procs.launchd_jobs():
        if job.pid in line:
            raise PortBusy(
                "port %d is used by the launchd job %s" % (evidence.port, job.label),
                "on the host: sudo launchctl bootout %s/%s" % (job.domain, job.label),
                port=evidence.port,
                job=job.label,
            )


def observe_port(ctx: Context, registry: Registry, port: int) -> PortEvidence:
    job_of, check = partial(current_job, ctx), ctx.client.check
    return observe(ctx.procs, registry, [port], ctx.site, job_of, check)[port]


def observe_ports(
    ctx: Context, registry: Registry, ports: Iterable[int], use_cache: bool = False
) -> Dict[int, PortEvidence]:
    """port -> what is known of it, the load that was killed there included. `use_cache`: see
    observe()."""
    job_of, check = partial(current_job, ctx), ctx.client.check
    evidence = observe(ctx.procs, registry, ports, ctx.site, job_of, check, use_cache)
    return {
        port: one._replace(interrupted_load=interrupted_load(ctx, port))
        for port, one in evidence.items()
    }
