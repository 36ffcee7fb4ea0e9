"""What was observed of one port. Values only."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Tuple

from .procs.facts import Listener, Process
from .ranks import Seen
from .runtimes import Invocation


class Answer(NamedTuple):
    """What a port said over HTTP. `reached`: a connection was accepted. `health`: status of /health, None if none came.

    `models`: ids of /v1/models. `chats`: whether a chat was answered, None if it was not asked. Latency of /health.
    """

    reached: bool
    health: Optional[int] = None
    models: Tuple[str, ...] = ()
    chats: Optional[bool] = None
    latency_ms: Optional[float] = None
    error: str = ""


SILENT = Answer(reached=False)


class Server(NamedTuple):
    """A process of a runtime whose command line names the port.

    `family` is every process that must be gone before the server is: launcher, server, children. `launcher` is the
    outermost process of it (`uv run`), the server itself where there is none.
    """

    process: Process
    invocation: Invocation
    family: Tuple[Process, ...]
    launcher: Process

    @property
    def worker_gone(self) -> bool:
        """The child that held the weights is dead, though the server still answers."""
        runtime = self.invocation.runtime
        lines = [" ".join(p.argv) for p in self.family]
        tracked = any(runtime.tracker in line for line in lines) if runtime.tracker else False
        return tracked and not any(runtime.worker in line for line in lines)


class PortEvidence(NamedTuple):
    """`listeners` None: they could not be seen. `job` is the port lock's holder. `unknown` says what could not be seen.

    `recorded`: the process the registry names, None when it is proven gone or there is none. `remnants`: workers
    of a dead server that still live. `cut`: what the port's lock says of a load that died here before its end.
    `ranks`: those that are recorded on other hosts, gone or not.
    """

    port: int
    listeners: Optional[Tuple[Listener, ...]]
    servers: Tuple[Server, ...]
    recorded: Optional[Process]
    remnants: Tuple[Process, ...]
    answer: Answer
    job: Optional[Mapping[str, Any]]
    unknown: Tuple[str, ...]
    cut: Optional[Mapping[str, Any]] = None
    ranks: Tuple[Seen, ...] = ()

    @property
    def server(self) -> Optional[Server]:
        """The server that owns the listener, else the recorded one, else one that names the port."""
        return next(iter(self.proven or self.servers), None)

    @property
    def proven(self) -> Tuple[Server, ...]:
        """Those that are this port's beyond doubt: they own the listener, or are the recorded process.

        Where nobody listens and none is recorded, the only one whose command line has the port in it: it loads still.
        Any user can start a process that names a port.
        """
        pids = {listener.pid for listener in self.listeners or ()} | {self.recorded.pid if self.recorded else None}
        found = tuple(s for s in self.servers if pids & {p.pid for p in s.family})
        alone = len(self.servers) == 1 and not self.listeners and self.servers[0].invocation.says_port
        return found or (self.servers if alone else ())

    @property
    def foreign(self) -> Tuple[Listener, ...]:
        """Listeners that belong to no server of a runtime; a hidden one does if its user's server names the port."""
        family = [p for s in self.servers for p in s.family]
        pids, uids = {p.pid for p in family}, {p.uid for p in family}
        return tuple(ln for ln in self.listeners or () if ln.pid not in pids and (ln.pid or ln.uid not in uids))

    @property
    def quiet(self) -> bool:
        """Proven: nothing listens or answers, nothing of a runtime names the port, the recorded process is gone."""
        alive = self.listeners or self.servers or self.recorded or self.remnants or self.answer.reached
        alive = alive or any(seen.alive is not False for seen in self.ranks)
        return not alive and self.listeners is not None and not self.unknown and self.job is None
