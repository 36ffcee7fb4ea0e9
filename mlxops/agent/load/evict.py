"""Making room for a load: the servers that --evict unloads, each under its own port's lock; back if
the load fails."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

from ..clock import Deadline, wait_for
from ..context import Context
from ..errors import Interrupted, PortBusy, mlxops_command, to_mlxops_error
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

# What a server held comes back a moment after its processes are gone.
RELEASE_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.5
Restore = Callable[[Job, ServerSpec], str]


class EvictedPort:
    """A port that has to be unloaded, with its lock held and its server as it would be started
    again."""

    def __init__(self, ctx: Context, job: Job, ground: PortSurvey) -> None:
        self.job, self.ground, self.begun, self.stopped = job, ground, False, False
        self.port = ground.evidence.port
        self.entry = ground.entries[0] if ground.entries else None
        self.service = (
            restart_spec(ctx, self.port, ground.server, self.entry) if ground.server else None
        )

    @property
    def name(self) -> str:
        return self.entry.name if self.entry else "port %d" % self.port

    def record(self, outcome: str) -> Dict[str, Any]:
        name = self.entry.name if self.entry else None
        return {
            "port": self.port,
            "entry": name,
            "outcome": outcome,
            "again": name and _again(name, self.port),
        }


@contextlib.contextmanager
def report_evictions(evicted: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Whatever fails inside tells what became of every server that was unloaded."""
    try:
        yield
    except Exception as exc:
        error = to_mlxops_error(exc)
        if evicted and "evicted" not in error.fields:
            error.message += "".join(
                "; port %d: %s" % (one["port"], one["outcome"]) for one in evicted
            )
            error.fields["evicted"] = list(evicted)
        raise error from exc


class Eviction:
    """A context for the load that needs it. A failure inside brings back what was unloaded, unless
    without rollback.

    `evicted` comes to hold what became of each of them."""

    def __init__(
        self,
        ctx: Context,
        job: Job,
        plan: LoadPlan,
        restore: Restore,
        evicted: List[Dict[str, Any]],
        room: DiskReservation,
    ) -> None:
        self._ctx, self._job, self._prepared, self._restore = ctx, job, plan, restore
        self._evicted, self._room = evicted, room
        self._locks = contextlib.ExitStack()
        self.victims: List[EvictedPort] = []

    def __enter__(self) -> Eviction:
        found = current_fit(self._ctx, self._prepared)
        if found is not None and not found.fits and self._prepared.request.evict:
            with self._undoing():
                self._make(found.unload)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], exc: Optional[BaseException], trace: Any
    ) -> None:
        if isinstance(exc, Exception):
            with self._undoing():
                raise exc
        self._evicted[:] = [victim.record("unloaded") for victim in self.victims]
        for victim in self.victims:
            self._forget(victim)
        self._locks.__exit__(kind, exc, trace)

    @contextlib.contextmanager
    def _undoing(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:
            self._evicted[:] = [
                victim.record(self._outcome(victim)) for victim in self.victims if victim.begun
            ]
            self._locks.__exit__(type(exc), exc, None)
            raise

    def _make(self, ports: Sequence[int]) -> None:
        for port in ports:
            self._claim(port)
        # Nothing is stopped before all of them may be.
        self._room.check_writable()
        for victim in self.victims:
            self._job.phase(
                "evict", "making room: unloading %s from port %d" % (victim.name, victim.port)
            )
            self._stop(victim)
            self._clear(victim)
            victim.job.set_phase("evicted")
        wait_for(self._enough, Deadline(RELEASE_TIMEOUT_S), POLL_INTERVAL_S)
        check_memory(
            self._ctx, self._prepared.memory_request, self._prepared.request._replace(evict=False)
        )

    def _stop(self, victim: EvictedPort) -> None:
        victim.begun = True
        try:
            feared = stop_occupants(
                self._ctx, victim.job, victim.ground, self._prepared.request.grace_s
            )
            if feared:
                victim.job.warn(feared.message)
        except Interrupted:  # which comes before the first signal
            victim.begun = False
            raise
        victim.stopped = True

    def _clear(self, victim: EvictedPort) -> None:
        """Until the load has succeeded the entry keeps its port as `wanted`: a failure forgets
        nothing."""
        names = [entry.name for entry in victim.ground.entries]
        if names:
            self._ctx.store.edit(self._why(victim.port), lambda now: now.clear(victim.port, *names))

    def _forget(self, victim: EvictedPort) -> None:
        """The load serves: what made room for it was unloaded as if by `unload`."""
        names = [entry.name for entry in victim.ground.entries]

        def change(now: Registry) -> Registry:
            same = [e for e in now.lost(victim.port) if e.name in names]
            return now.put(*(e.with_fields(wanted=None) for e in same))

        try:
            self._ctx.store.edit(self._why(victim.port), change)
        except Exception as exc:
            # The load serves: what cannot be noted of others is no failure of it.
            self._job.warn("port %d: %s" % (victim.port, to_mlxops_error(exc).message))

    def _claim(self, port: int) -> None:
        ctx = self._ctx
        seen = ctx.store.read().holders(port)
        cut = _again(seen[0].name, port) if seen else None
        job = self._locks.enter_context(begin(ctx, port, self._why(port), again=cut))
        victim = EvictedPort(ctx, job, survey(ctx, port, own_lock=True))
        require_no_restarter(ctx, victim.ground)
        if isinstance(victim.service, Unrestartable) and self._prepared.request.rollback:
            text = (
                "port %d cannot be unloaded to make room: its server could not be started again: %s"
            )
            raise PortBusy(
                text % (port, victim.service.reason),
                mlxops_command("unload", port) + " first",
                port=port,
            )
        if victim.ground.unregistered_server is not None:
            text = (
                "port %d is not unloaded to make room: its server, pid %d, is not in the registry"
            )
            raise PortBusy(
                text % (port, victim.ground.unregistered_server.process.pid),
                mlxops_command("unload", port),
                port=port,
            )
        names = [entry.name for entry in victim.ground.entries]
        with ctx.store.locked(self._why(port)):
            require_unreserved(ctx, names, port)
            job.reserve(names)
        self._room.reserve(port, EVICTION_EDITS, servers=1)
        self._room.reserve_job_log(job.log)
        self.victims.append(victim)

    def _why(self, port: int) -> str:
        request = self._prepared.request
        return "unload %d to make room for load %s %d" % (port, request.model, request.port)

    def _enough(self) -> bool:
        found = (
            memory.fit(self._ctx, self._prepared.memory_request)
            if self._prepared.memory_request
            else None
        )
        return found is None or found.fits

    def _outcome(self, victim: EvictedPort) -> str:
        """What becomes of it once the load has failed, in words."""
        if not victim.stopped:
            return "what is left of %s is not known; %s" % (
                victim.name,
                mlxops_command("status", victim.port),
            )
        if victim.service is None:
            return "it is empty"
        if not self._prepared.request.rollback or isinstance(victim.service, Unrestartable):
            return "%s was unloaded; %s" % (victim.name, _again(victim.name, victim.port))
        return self._restore(victim.job, victim.service)


def current_fit(ctx: Context, plan: LoadPlan) -> Optional[Fit]:
    """How it fits now; the download may have taken hours. What was checked a moment ago is not
    looked at again, and counts where nothing can be seen any more."""
    request = plan.request
    if plan.remote is None and not request.evict:
        return plan.fit
    if request.evict:
        check_assignment(ctx.store.read().entries.get(plan.entry.name, plan.entry), request)
    return check_memory(ctx, plan.memory_request, request)[0] or plan.fit


def planned_evictions(plan: LoadPlan) -> List[Tuple[int, Optional[str], str]]:
    """The ports that would be unloaded, each with its entry and a reason."""
    fit, registry = plan.fit, plan.survey.registry
    if fit is None or not plan.request.evict:
        return []
    names = {port: next((e.name for e in registry.holders(port)), None) for port in fit.unload}
    return [
        (port, names[port], "its server holds %s" % memory.format_gib(fit.used_by_port[port]))
        for port in fit.unload
    ]


def _again(name: str, port: int) -> str:
    return mlxops_command("load", name, port)
