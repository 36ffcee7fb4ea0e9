"""Look at all ports again and again: at everything first and after a sign of a change, else only
for such signs."""

from __future__ import annotations

import time
from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    cast,
)

from ..context import Context
from ..errors import Failed, MlxopsError
from ..jobs.begin import current_job, interrupted_load
from ..ports.answers import AnswerCache, candidate_addresses, unproven
from ..ports.evidence import NO_ANSWER, HttpAnswer, PortEvidence, Server
from ..ports.observe import Servers, Snapshot, Sources, answering_processes, observe
from ..procs import Memory, Process, Procs, Traffic
from ..ranks import other_hosts
from ..registry.entries import EMPTY, Entry, Registry
from .figures import file_stamp
from .pace import Paced
from .pulse import Pulses
from .recent import RecentProcs

# Shares of one core. The burst is spent while something changes.
SCAN_SHARE, SOCKETS_SHARE, PROCESSES_SHARE, MEMORY_SHARE = 0.002, 0.003, 0.001, 0.001
BURST = 0.05
OTHER_HOSTS_INTERVAL_S = 60.0
NEVER_TOO_OLD_S = float("inf")
NOT_ASKED = "not asked: it is not a model server of this user"
STOPPED = "pid %d is stopped (signal SIGSTOP or SIGTSTP)"

Jobs = Mapping[int, Optional[Mapping[str, Any]]]


class Signs(NamedTuple):
    """What shows that a scan is due. `registry`: stamp of its file; `jobs`: the job and its phase
    per port; `sockets`: the listeners; `processes`: the known ones that changed or ended."""

    registry: Any
    jobs: Any
    sockets: Any
    processes: Any


class PortWatch:
    """The ports that one call watches. `evidence`, `jobs` and `traffic` are those of the last
    look(); `fault`: why the registry cannot be read."""

    def __init__(self, ctx: Context, ports: Iterable[int]) -> None:
        self.ports = tuple(ports)
        self._recent = RecentProcs(ctx.procs, self.ports)
        self.ctx = ctx._replace(procs=cast(Procs, self._recent))
        self.pulses = Pulses()
        self.registry: Registry = EMPTY
        self.fault: Optional[MlxopsError] = None
        self.evidence: Dict[int, PortEvidence] = {}
        self.jobs: Jobs = {}
        self.traffic: Mapping[int, Traffic] = {}
        self._known: Mapping[int, Process] = {}
        self._family: Mapping[int, Process] = {}
        self._asked: FrozenSet[int] = frozenset()
        self._stamp: Any = None
        self._at_scan: Optional[Signs] = None
        self._shown: Any = None
        self._hosts = RecentHosts(ctx)
        self._scan = Paced(self._recent.scan, SCAN_SHARE, BURST)
        self._sockets = Paced(partial(ctx.procs.traffic, self.ports), SOCKETS_SHARE, BURST)
        self._processes = Paced(self._look_at_known, PROCESSES_SHARE, BURST)
        self._memory = Paced(ctx.procs.memory, MEMORY_SHARE)

    @property
    def memory(self) -> Optional[Memory]:
        return self._memory.value()

    def look(self) -> bool:
        """Look once; whether the evidence is new."""
        first = not self.evidence
        self.jobs = {port: self._job(port) for port in self.ports}
        busy = any(self.jobs.values())
        self.traffic = self._sockets.value(busy) or {}
        self._known = self._processes.value(busy) or {}
        self._recent.update(self._known)
        self._read_registry()
        signs = self._signs()
        changed = not first and signs != self._at_scan
        scanned = self._scan.due(changed)
        if scanned:
            self._scan.value(changed)
            self._at_scan = signs._replace(processes=())
        if first:
            self._begin()
        self._aim()
        shown = (self._stamp, self.jobs, self._hung(), signs.processes)
        if not scanned and shown == self._shown:
            return False
        self._shown = shown
        self._observe()
        return True

    def served(self, port: int) -> int:
        """Requests under way."""
        return self.traffic[port].established if port in self.traffic else 0

    def used_bytes(self, port: int) -> Optional[int]:
        """The memory of the port's server now."""
        server = self.evidence[port].server
        if server is None:
            return None
        return self.ctx.procs.footprint([self._known.get(p.pid, p) for p in server.processes])

    def _job(self, port: int) -> Optional[Mapping[str, Any]]:
        try:
            return current_job(self.ctx, port)
        except Failed:
            return None

    def _look_at_known(self) -> Dict[int, Process]:
        self._asked = frozenset(self._family)
        return self.ctx.procs.some(sorted(self._asked))

    def _read_registry(self) -> None:
        stamp = file_stamp(self.ctx.site.registry)
        if stamp != self._stamp or not self.evidence:
            self._stamp = stamp
            self.registry, self.fault = self.ctx.store.read_or_empty()

    def _signs(self) -> Signs:
        return Signs(
            registry=self._stamp,
            jobs=tuple(job and (job.get("job"), job.get("phase")) for job in self.jobs.values()),
            sockets=tuple(one.listening for one in self.traffic.values()),
            processes=tuple(
                (pid, _condition(self._known.get(pid)))
                for pid, before in self._family.items()
                if pid in self._asked and _condition(self._known.get(pid)) != _condition(before)
            ),
        )

    def _aim(self) -> None:
        """Send pulses to servers, not to strangers; at once where connections are not accepted."""
        address = self.ctx.site.probe_address
        for port in self.evidence:
            if self.traffic.get(port, Traffic()).waiting and not self.pulses.of(port).misses:
                self.pulses.hurry(port)
        self.pulses.aim(
            (port, candidate_addresses(port, one.listeners, address)[0])
            for port, one in self.evidence.items()
            if one.listeners and one.server
        )

    def _begin(self) -> None:
        """Find the servers, so that the first look knows already whether they react."""
        self._observe()
        self._aim()
        self.pulses.take_all()
        self.pulses.start()

    def _hung(self) -> Tuple[Any, ...]:
        return tuple(self.pulses.of(port).hung for port in self.ports)

    def _observe(self) -> None:
        ctx = self.ctx
        self.evidence = {
            port: one._replace(interrupted_load=interrupted_load(ctx, port))
            for port, one in observe(
                ctx.procs,
                self.registry,
                self.ports,
                ctx.site,
                self.jobs.get,
                ctx.client.check,
                sources=Sources(answers=self._answers, other_hosts=self._hosts.of),
            ).items()
        }
        seen = [one.recorded for one in self.evidence.values() if one.recorded]
        seen += [p for one in self.evidence.values() for s in one.servers for p in s.processes]
        self._family = {process.pid: process for process in seen}

    def _answers(self, snapshot: Snapshot, servers: Servers) -> Dict[int, HttpAnswer]:
        """What can be known without a request: the last answer that anyone got from the very same
        processes, and whether the server reacts."""
        return {port: self._answer(port, snapshot, servers) for port in self.ports}

    def _answer(self, port: int, snapshot: Snapshot, servers: Servers) -> HttpAnswer:
        if not snapshot.listeners_on(port):
            return NO_ANSWER
        mine, pulse = servers.get(port, ()), self.pulses.of(port)
        frozen = [s.process.pid for s in mine if s.process.stopped]
        if frozen or pulse.hung or not mine:
            why = STOPPED % frozen[0] if frozen else "timed out" if mine else NOT_ASKED
            return HttpAnswer(reached=True, error=why)
        cache = AnswerCache(self.ctx.site.state_dir, True, max_age_s=NEVER_TOO_OLD_S)
        last = cache.get(port, answering_processes(snapshot, port, servers))
        answer = last or HttpAnswer(reached=True, health=200, models=_names(mine))
        if unproven(mine, self.registry.holders(port)) and not answer.chats:
            answer = answer._replace(chats=False)
        return answer._replace(latency_ms=pulse.latency_ms)


class RecentHosts:
    """What is known of processes on other hosts, which are asked once a minute."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._answers: Dict[Any, Tuple[float, other_hosts.OtherHosts]] = {}

    def of(self, entries: Sequence[Entry]) -> Callable[[], other_hosts.OtherHosts]:
        if not any(other_hosts.are_recorded(entry) for entry in entries):
            return other_hosts.OtherHosts
        key = repr([entry.process for entry in entries])
        at, answer = self._answers.get(key, (float("-inf"), None))
        if answer is not None and time.monotonic() - at < OTHER_HOSTS_INTERVAL_S:
            return lambda: answer
        pending = other_hosts.observe(self._ctx.site, entries, self._ctx.client.check)

        def answered() -> other_hosts.OtherHosts:
            self._answers = {key: (time.monotonic(), pending())}
            return self._answers[key][1]

        return answered


def _condition(process: Optional[Process]) -> Any:
    return process and (process.start_time, process.zombie, process.stopped)


def _names(servers: Sequence[Server]) -> Tuple[str, ...]:
    names = [server.invocation.served_name for server in servers[:1]]
    return tuple(name for name in names if name)
