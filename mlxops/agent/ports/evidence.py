"""What was observed of one port. Values only."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from ..procs.facts import Listener, Process
from ..ranks.other_hosts import OtherHosts
from ..runtimes.table import Invocation


class HttpAnswer(NamedTuple):
    """What a port said over HTTP. `reached`: a connection was accepted. `health`: status of
    /health, None if none came.

    `models`: ids of /v1/models. `chats`: whether a chat was answered, None if it was not asked.
    `latency_ms`: of /health; where the answer is a remembered one, of the server's reaction just
    now."""

    reached: bool
    health: Optional[int] = None
    models: Tuple[str, ...] = ()
    chats: Optional[bool] = None
    latency_ms: Optional[float] = None
    error: str = ""


NO_ANSWER = HttpAnswer(reached=False)


class Server(NamedTuple):
    """A process of a runtime whose command line names the port.

    `family` is every process that must be gone before the server is: launcher, server, children.
    `launcher` is the outermost process of it (`uv run`), the server itself where there is none.
    `held_bytes`: its memory, of a stray."""

    process: Process
    invocation: Invocation
    processes: Tuple[Process, ...]
    launcher: Process
    held_bytes: Optional[int] = None

    @property
    def worker_gone(self) -> bool:
        """The child that held the weights is dead, though the server still answers."""
        runtime = self.invocation.runtime
        lines = [" ".join(p.argv) for p in self.processes]
        tracked = any(runtime.tracker in line for line in lines) if runtime.tracker else False
        return tracked and not any(runtime.worker in line for line in lines)


class ForeignProcess(NamedTuple):
    """A process of another user that concerns a port: it listens there, is recorded for it, or its
    command line is that of a server there. `server`: one of the last two."""

    pid: int
    user: str
    is_server: bool


class PortEvidence(NamedTuple):
    """`servers`: this user's. `listeners` None: they could not be seen. `job` is the port lock's
    holder. `unknown` says what could not be seen.

    `recorded`: the process the registry names, None when it is proven gone or there is none.
    `remnants`: workers of a dead server that still live. `cut`: what the port's lock says of a load
    that died here before its end. `other_hosts`: the processes recorded there, gone or not."""

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
        """Those that are this port's beyond doubt: they own the listener, or are the recorded
        process.

        Where nobody listens and none is recorded, the only one whose command line has the port in
        it: it loads still."""
        pids = {listener.pid for listener in self.listeners or ()} | {
            self.recorded.pid if self.recorded else None
        }
        found = tuple(s for s in self.servers if pids & {p.pid for p in s.processes})
        alone = len(self.servers) == 1 and not (self.listeners or self.foreign_processes)
        return found or (self.servers if alone and self.servers[0].invocation.names_port else ())

    @property
    def strays(self) -> Tuple[Server, ...]:
        """Servers of this user that say the port, and neither listen nor are recorded: they hold
        memory for nothing.

        Where a listener's owner is hidden, it may be any of them."""
        if self.listeners is None or any(ln.pid is None for ln in self.listeners):
            return ()
        return tuple(s for s in self.servers if s not in self.proven and s.invocation.names_port)

    @property
    def foreign_listeners(self) -> Tuple[Listener, ...]:
        """Listeners that belong to no server of this user; one whose pid is hidden does if it is
        this user's."""
        family = [p for s in self.servers for p in s.processes]
        pids, uids = {p.pid for p in family}, {p.uid for p in family}
        return tuple(
            ln
            for ln in self.listeners or ()
            if ln.pid not in pids and (ln.pid or ln.uid not in uids)
        )

    @property
    def foreign_holders(self) -> Tuple[str, ...]:
        """Who has the port that is not a server of this user, in words; () where mlxops may work on
        it.

        Beside a proven server, another user's process that only names the port is in nobody's
        way."""
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
        """Proven: nothing listens or answers, nothing of a runtime names the port, the recorded
        process is gone."""
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
