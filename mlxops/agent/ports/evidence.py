"""What was observed of one port, and what is expected there. Values only."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from ..jobs.backoff import NOT_STARTED, Supervision
from ..procs.facts import Listener, Process
from ..ranks.other_hosts import OtherHosts
from ..registry.entries import Entry
from ..runtimes.table import Invocation


class HttpAnswer(NamedTuple):
    """The HTTP answers of a port. `reached`: a connection was accepted. `health`: status of
    /health, None without an answer.

    `models`: ids of /v1/models. `chats`: whether a chat was answered, None if none was sent.
    `latency_ms`: of /health; for a cached answer, the server's reaction time now. `refusal`: that
    it wants another API key, in words."""

    reached: bool
    health: Optional[int] = None
    models: Tuple[str, ...] = ()
    chats: Optional[bool] = None
    latency_ms: Optional[float] = None
    error: str = ""
    refusal: str = ""


NO_ANSWER = HttpAnswer(reached=False)


class Server(NamedTuple):
    """A process of a runtime whose command line names the port.

    `processes`: all that must end before the server is gone: launcher, server, children.
    `launcher`: the outermost of them (`uv run`), or the server itself. `held_bytes`: memory in use,
    for a stray."""

    process: Process
    invocation: Invocation
    processes: Tuple[Process, ...]
    launcher: Process
    held_bytes: Optional[int] = None

    @property
    def worker_gone(self) -> bool:
        """Whether the child that held the weights is dead while the server still answers."""
        runtime = self.invocation.runtime
        lines = [" ".join(p.argv) for p in self.processes]
        tracked = any(runtime.tracker in line for line in lines) if runtime.tracker else False
        return tracked and not any(runtime.worker in line for line in lines)


class ForeignProcess(NamedTuple):
    """A process of another user that matters for a port. `is_server`: it is recorded for the port,
    or has the command line of a server there; else it only listens there."""

    pid: int
    user: str
    is_server: bool


class Loss(NamedTuple):
    """How the server of an entry that wants the port ended. `how`: "reboot", "crash" or "unknown".
    `at`, in UTC: the boot, or when a crash was noticed; None if unknown. `reason`: all of it in
    words."""

    how: str
    at: Optional[str]
    reason: str = ""

    def to_wire(self) -> Dict[str, Any]:
        return {"how": self.how, "at": self.at}


class PortEvidence(NamedTuple):
    """`servers`: those of this user. `listeners`: None if they could not be observed. `job`: the
    holder of the port's lock. `unknown`: what could not be observed.

    `recorded`: the process in the registry, None if there is none or it has ended.
    `orphan_workers`: running workers of a dead server. `interrupted_load`: what the port's lock
    records of a load that was killed here. `other_hosts`: the processes recorded there, running or
    not."""

    port: int
    listeners: Optional[Tuple[Listener, ...]]
    servers: Tuple[Server, ...]
    recorded: Optional[Process]
    orphan_workers: Tuple[Process, ...]
    answer: HttpAnswer
    job: Optional[Mapping[str, Any]]
    unknown: Tuple[str, ...]
    interrupted_load: Optional[Mapping[str, Any]] = None
    other_hosts: OtherHosts = OtherHosts()
    foreign_processes: Tuple[ForeignProcess, ...] = ()

    @property
    def server(self) -> Optional[Server]:
        """The server that owns the listener, else the recorded one, else one that names the
        port."""
        return next(iter(self.proven or self.servers), None)

    @property
    def proven(self) -> Tuple[Server, ...]:
        """Servers that certainly belong to this port: they own the listener or are the recorded
        process.

        Without a listener and a record, the only server with the port on its command line: it is
        still loading."""
        pids = {listener.pid for listener in self.listeners or ()} | {
            self.recorded.pid if self.recorded else None
        }
        owners = tuple(s for s in self.servers if pids & {p.pid for p in s.processes})
        alone = len(self.servers) == 1 and not (self.listeners or self.foreign_processes)
        return owners or (self.servers if alone and self.servers[0].invocation.names_port else ())

    @property
    def strays(self) -> Tuple[Server, ...]:
        """Servers of this user that name the port, but neither listen nor are recorded: they waste
        memory.

        () if a listener's owner is hidden, because it may be any of them."""
        if self.listeners is None or any(ln.pid is None for ln in self.listeners):
            return ()
        return tuple(s for s in self.servers if s not in self.proven and s.invocation.names_port)

    @property
    def foreign_listeners(self) -> Tuple[Listener, ...]:
        """Listeners that belong to no server of this user. One with a hidden pid belongs to a
        server if it runs as this user."""
        family = [p for s in self.servers for p in s.processes]
        pids, uids = {p.pid for p in family}, {p.uid for p in family}
        return tuple(
            ln
            for ln in self.listeners or ()
            if ln.pid not in pids and (ln.pid or ln.uid not in uids)
        )

    @property
    def foreign_holders(self) -> Tuple[str, ...]:
        """Who uses the port and is not a server of this user, as text; () if mlxops may work on the
        port.

        If there is a proven server, another user's process that only names the port does not
        matter."""
        users: Dict[Optional[int], str] = {one.pid: one.user for one in self.foreign_processes}
        pids = {ln.pid for ln in self.foreign_listeners}
        waiting = (
            () if self.proven else tuple(one.pid for one in self.foreign_processes if one.is_server)
        )
        return tuple(sorted({_named(pid, users) for pid in (*pids, *waiting)}))

    @property
    def foreign_use(self) -> str:
        """Who uses the port, as the end of a sentence about it; "" if mlxops may work on it."""
        holders = " and ".join(self.foreign_holders)
        return holders and "used by %s, which is not a model server of this user" % holders

    @property
    def proven_idle(self) -> bool:
        """Whether it is proven that nothing listens, answers or names the port, and that the
        recorded process has ended."""
        alive = (
            self.listeners
            or self.servers
            or self.recorded
            or self.orphan_workers
            or self.answer.reached
            or self.foreign_processes
            or not self.other_hosts.proven_gone
        )
        return not alive and self.listeners is not None and not self.unknown and self.job is None


def _named(pid: Optional[int], users: Mapping[Optional[int], str]) -> str:
    if pid is None:
        return "a process that mlxops cannot see"
    return "pid %d (user %s)" % (pid, users[pid]) if pid in users else "pid %d" % pid


class Expected(NamedTuple):
    """What the registry and the host file say of a port. `served_name` None: no entry is assigned.

    `missing`: entries whose snapshot is missing, and why. `wanting`: entries that want the port.
    `lost`: those of them that are assigned nowhere; of the first, `loss`: how its server ended, and
    `supervision`: what is known of its starts. `declared`: the model that the host file declares
    for the port. `switched`: its server has read another model since it was ready."""

    entries: Tuple[Entry, ...]
    served_name: Optional[str]
    missing: Mapping[str, str] = {}
    lost: Tuple[Entry, ...] = ()
    wanting: Tuple[Entry, ...] = ()
    loss: Optional[Loss] = None
    supervision: Supervision = NOT_STARTED
    switched: bool = False
    declared: Optional[str] = None

    @property
    def rivals(self) -> Tuple[str, ...]:
        """The entries that want the port if they are several: a hand edit."""
        return tuple(e.name for e in self.wanting) if len(self.wanting) > 1 else ()

    @property
    def entry(self) -> Optional[Entry]:
        """The entry that a diagnosis of the port is about."""
        return next(iter(self.entries or self.lost), None)
