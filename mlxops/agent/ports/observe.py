"""Gather the evidence about ports: processes, listeners, HTTP answers, locks."""

from __future__ import annotations

from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ..api_key import NO_KEY, ApiKey, api_key
from ..errors import Failed
from ..procs import Listener, Process, Procs, Unobservable, ancestors, tree
from ..ranks import other_hosts
from ..registry.entries import Entry, Registry
from ..runtimes.table import Invocation, Runtimes, is_worker, recognise
from ..site import Site
from . import probe, process_owner
from .answers import AnswerCache, PortQuery, candidate_addresses
from .evidence import ForeignProcess, HttpAnswer, PortEvidence, Server
from .spelling import with_registry_spelling

Table = Mapping[int, Process]
Servers = Mapping[int, Tuple[Server, ...]]


class Sources(NamedTuple):
    """How a look asks servers and other hosts, if not by HTTP and ssh each time."""

    answers: Callable[[Snapshot, Servers], Dict[int, HttpAnswer]]
    other_hosts: Callable[[Sequence[Entry]], Callable[[], other_hosts.OtherHosts]]


class Snapshot(NamedTuple):
    """All processes and the listeners of the ports at one moment, and what could not be
    observed."""

    processes: Table
    listeners: Optional[Tuple[Listener, ...]]
    unknown: Tuple[str, ...]

    def listeners_on(self, port: int) -> Optional[Tuple[Listener, ...]]:
        return (
            None
            if self.listeners is None
            else tuple(ln for ln in self.listeners if ln.port == port)
        )


def scan(procs: Procs, ports: Iterable[int]) -> Snapshot:
    """Take a snapshot. Listeners first: a child that a server forks for a moment owns nothing by
    the second look."""
    unknown: List[str] = []
    table: Table = {}
    listeners = None
    try:
        listeners = procs.listeners(ports)
    except Unobservable as exc:
        unknown.append(exc.reason)
    try:
        table = procs.processes()
        listeners = listeners and tuple(
            ln for ln in listeners if ln.pid is None or _lives(table, ln.pid)
        )
    except Unobservable as exc:
        unknown.append(exc.reason)
    return Snapshot(table, listeners, tuple(unknown))


def _lives(table: Table, pid: int) -> bool:
    return pid in table and not table[pid].zombie


def observe(
    procs: Procs,
    registry: Registry,
    ports: Iterable[int],
    site: Site,
    job_of: Callable[[int], Optional[Mapping[str, Any]]],
    check: Callable[[], None] = lambda: None,
    use_cache: bool = False,
    sources: Optional[Sources] = None,
) -> Dict[int, PortEvidence]:
    """port -> evidence. `site`: addresses and runtimes; `job_of`: the holder of a port's lock;
    `check` is called while other hosts are queried, and may raise. `use_cache`: use an answer of
    the last minute if the same server still reacts. `sources`: send no request."""
    ports = tuple(ports)
    ask_hosts = sources.other_hosts if sources else partial(_ask_hosts, site, check)
    elsewhere = {port: ask_hosts(registry.holders(port)) for port in ports}
    jobs = {port: _job_of(port, job_of) for port in ports}
    snapshot = scan(procs, ports)
    servers = find_servers(snapshot.processes, site.runtimes)
    servers = with_registry_spelling(procs, servers, registry, ports)
    if sources:
        answers = sources.answers(snapshot, servers)
    else:
        cache = AnswerCache(site.state_dir, use_cache)
        answers = _query_all(ports, snapshot, servers, registry, site, cache)
    foreign = foreign_servers(snapshot.processes, site.runtimes)
    snapshot = _with_late_listeners(procs, snapshot, answers)
    # A lock that was taken during the look makes it outdated: check before and after.
    jobs = {port: jobs[port] if any(jobs[port]) else _job_of(port, job_of) for port in ports}
    evidence = {}
    for port in ports:
        entries = registry.holders(port)
        recorded, workers, others = _recorded_processes(snapshot, entries, site.runtimes)
        others += tuple(server.process for server in foreign.get(port, ()))
        remote, (job, unknown) = elsewhere[port](), jobs[port]
        evidence[port] = PortEvidence(
            port=port,
            listeners=snapshot.listeners_on(port),
            servers=servers.get(port, ()),
            recorded=recorded,
            orphan_workers=workers,
            answer=answers[port],
            job=job,
            unknown=(*snapshot.unknown, *remote.unknown, *unknown),
            other_hosts=remote,
            foreign_processes=foreign_processes(snapshot, port, others),
        )
    return {port: _with_stray_memory(procs, one) for port, one in evidence.items()}


def _ask_hosts(
    site: Site, check: Callable[[], None], entries: Sequence[Entry]
) -> Callable[[], other_hosts.OtherHosts]:
    return other_hosts.observe(site, entries, check)


def _job_of(
    port: int, job_of: Callable[[int], Optional[Mapping[str, Any]]]
) -> Tuple[Optional[Mapping[str, Any]], Tuple[str, ...]]:
    """The job that holds the port's lock, and why that cannot be observed: only this port is then
    unknown."""
    try:
        return job_of(port), ()
    except Failed as exc:
        return None, (exc.message,)


def _with_stray_memory(procs: Procs, evidence: PortEvidence) -> PortEvidence:
    """Add the memory that each stray uses."""
    strays = evidence.strays
    if not strays:
        return evidence
    servers = [
        s._replace(held_bytes=procs.footprint(s.processes)) if s in strays else s
        for s in evidence.servers
    ]
    return evidence._replace(servers=tuple(servers))


def _with_late_listeners(
    procs: Procs, snapshot: Snapshot, answers: Mapping[int, HttpAnswer]
) -> Snapshot:
    """Add listeners that the scan missed: a port that answered HTTP has one."""
    if snapshot.listeners is None:
        return snapshot
    late = {p for p, answer in answers.items() if answer.reached}.difference(
        ln.port for ln in snapshot.listeners
    )
    if not late:
        return snapshot
    try:
        listeners = procs.listeners(late)
    except Unobservable as exc:
        return snapshot._replace(listeners=None, unknown=(*snapshot.unknown, exc.reason))
    hidden = late.difference(ln.port for ln in listeners)
    return snapshot._replace(
        listeners=(
            *snapshot.listeners,
            *listeners,
            *(Listener(p, "", None, None) for p in sorted(hidden)),
        )
    )


def _recorded_processes(
    snapshot: Snapshot, entries: Iterable[Entry], known: Runtimes
) -> Tuple[Optional[Process], Tuple[Process, ...], Tuple[Process, ...]]:
    """The recorded process, orphan workers of a recorded server that is dead, and such processes of
    other users."""
    recorded = [p for e in entries for p in [recorded_process(snapshot.processes, e)] if p]
    workers = [p for e in entries for p in orphan_workers(snapshot.processes, e, known)]
    others = tuple(p for p in (*recorded, *workers) if not process_owner.is_own(p))
    return (
        next(filter(process_owner.is_own, recorded), None),
        tuple(filter(process_owner.is_own, workers)),
        others,
    )


def foreign_processes(
    snapshot: Snapshot, port: int, servers: Iterable[Process]
) -> Tuple[ForeignProcess, ...]:
    """The processes of other users that matter for the port; `servers`: those that are recorded or
    look like servers."""
    by_pid = {p.pid: ForeignProcess(p.pid, process_owner.user_name(p.uid), True) for p in servers}
    for listener in snapshot.listeners_on(port) or ():
        process = snapshot.processes.get(listener.pid or 0)
        uid = process.uid if process else listener.uid
        if listener.pid and uid is not None and uid != process_owner.uid():
            by_pid.setdefault(
                listener.pid, ForeignProcess(listener.pid, process_owner.user_name(uid), False)
            )
    return tuple(by_pid.values())


def find_servers(table: Table, known: Runtimes) -> Dict[int, Tuple[Server, ...]]:
    """port -> this user's servers whose command line names it. Of `uv run` and its child, the child
    is the server."""
    return _servers(process_owner.own_processes(table), known)


def foreign_servers(table: Table, known: Runtimes) -> Dict[int, Tuple[Server, ...]]:
    """port -> other users' processes with the command line of a server there."""
    return _servers(
        {pid: process for pid, process in table.items() if not process_owner.is_own(process)}, known
    )


def _servers(table: Table, known: Runtimes) -> Dict[int, Tuple[Server, ...]]:
    named = {
        p.pid: call
        for p in table.values()
        if not p.zombie
        for call in [recognise(p.argv, known)]
        if call
    }
    servers: Dict[int, Tuple[Server, ...]] = {}
    for pid, call in named.items():
        below = (named[p.pid] for p in tree(table, pid)[1:] if p.pid in named)
        if not any(other.port == call.port for other in below):
            servers[call.port] = (
                *servers.get(call.port, ()),
                _server(table, table[pid], call, named),
            )
    return servers


def _server(
    table: Table, process: Process, call: Invocation, named: Mapping[int, Invocation]
) -> Server:
    launchers = [
        p
        for p in ancestors(table, process.pid)
        if p.pid in named and named[p.pid].port == call.port
    ]
    root = launchers[-1] if launchers else process
    return Server(process, call, tree(table, root.pid), root)


def recorded_process(table: Table, entry: Entry) -> Optional[Process]:
    """The process that an entry records, if it still runs: same pid and start time."""
    record = entry.process or {}
    process = table.get(record.get("pid", 0))
    alive = (
        process is not None
        and not process.zombie
        and process.start_time == record.get("start_time")
    )
    return process if alive else None


def family_record(family: Iterable[Process], leader: Process) -> List[Dict[str, Any]]:
    """What the registry keeps of a server's other processes: after their parent's death, only this
    identifies them."""
    return [{"pid": p.pid, "start_time": p.start_time} for p in family if p.pid != leader.pid]


def orphan_workers(table: Table, entry: Entry, known: Runtimes) -> Tuple[Process, ...]:
    """Running workers of a recorded server that is dead: each the same by pid and start time."""
    record = entry.process or {}
    if not record or recorded_process(table, entry):
        return ()
    family = record.get("family")
    members = [m for m in family if isinstance(m, dict)] if isinstance(family, list) else []
    members = [m for m in members if isinstance(m.get("pid"), int)]
    processes = [
        p
        for m in members
        for p in [table.get(m["pid"])]
        if p and p.start_time == m.get("start_time")
    ]
    return tuple(p for p in processes if not p.zombie and is_worker(p.argv, known))


def _query_all(
    ports: Iterable[int],
    snapshot: Snapshot,
    servers: Mapping[int, Tuple[Server, ...]],
    registry: Registry,
    site: Site,
    recall: AnswerCache,
) -> Dict[int, HttpAnswer]:
    """Query many ports at once: a refused connection takes microseconds, a full queue takes
    seconds."""
    answers: Dict[int, HttpAnswer] = {}
    queries: Dict[int, Callable[[], HttpAnswer]] = {}
    for port in ports:
        where = candidate_addresses(port, snapshot.listeners or (), site.probe_address)
        if any(ln.port == port for ln in snapshot.listeners or ()) or any(
            probe.accepts_connection(a, port, 1.0) for a in where
        ):
            one = PortQuery(
                port=port,
                addresses=where,
                servers=servers.get(port, ()),
                entries=registry.holders(port),
                processes=answering_processes(snapshot, port, servers),
                key=_key(site, snapshot, port, servers.get(port, ())),
            )
            queries[port] = partial(one.run, recall)
        else:
            answers[port] = HttpAnswer(reached=False)
    return {**answers, **probe.call_all(queries)}


def _key(site: Site, snapshot: Snapshot, port: int, servers: Tuple[Server, ...]) -> ApiKey:
    """The key of the port's server; none unless every listener is shown to be its own."""
    own = {p.pid for server in servers for p in server.processes}
    listening = {ln.pid for ln in snapshot.listeners_on(port) or ()}
    if not listening or not listening <= own:
        return NO_KEY
    return api_key(site, port, servers[0].invocation.runtime.name)


def answering_processes(
    snapshot: Snapshot, port: int, servers: Mapping[int, Tuple[Server, ...]]
) -> List[List[Any]]:
    """The processes behind a port's answer, so that it is never mistaken for that of others."""
    pids = {ln.pid or 0 for ln in snapshot.listeners_on(port) or ()} | {
        s.process.pid for s in servers.get(port, ())
    }
    return [
        [pid, snapshot.processes[pid].start_time if pid in snapshot.processes else ""]
        for pid in sorted(pids)
    ]
