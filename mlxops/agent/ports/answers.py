"""What ports last answered over HTTP, kept for a minute: a request costs a line in the server's log
each time.

Such an answer is used again only for the very same processes, and only while the server reacts
(probe.pulse)."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..procs import Listener
from ..registry.entries import Entry
from . import probe
from .evidence import HttpAnswer, PortEvidence, Server

MAX_AGE_S = 60.0
MAX_NAMES = 20
MAX_BYTES = 64 << 10


class AnswerCache(NamedTuple):
    """The answers kept below a state folder. `use`: whether they may stand for a new one. `clock`:
    wall time, s."""

    state_dir: str
    enabled: bool = False
    clock: Callable[[], float] = time.time

    def get(self, port: int, who: List[List[Any]]) -> Optional[HttpAnswer]:
        """The last answer of these processes; None where there is none, or an old one."""
        kept = self._read(port) if self.enabled and who else {}
        at, answer = kept.get("at"), kept.get("answer")
        age = self.clock() - at if isinstance(at, (int, float)) else -1.0
        if kept.get("of") != who or not 0 <= age < MAX_AGE_S or not isinstance(answer, dict):
            return None
        names = answer.get("models")
        models = (
            tuple(name for name in names if isinstance(name, str))
            if isinstance(names, list)
            else ()
        )
        return HttpAnswer(True, 200, models, answer.get("chats") is True or None)

    def store(self, port: int, who: List[List[Any]], answer: HttpAnswer) -> None:
        """For the next look. Only a good answer is kept: another is asked for again."""
        if not who or answer.health != 200 or answer.chats is False or answer.error:
            return
        said = {"models": answer.models[:MAX_NAMES], "chats": answer.chats}
        path = self._path(port)
        draft = "%s.%d.tmp" % (path, os.getpid())
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(draft, "w") as f:
                json.dump({"at": self.clock(), "of": who, "answer": said}, f)
            os.replace(draft, path)
        except OSError:
            # Without it the next look asks again.
            _discard(draft)

    def _path(self, port: int) -> str:
        return os.path.join(self.state_dir, "run", "%d.answer.json" % port)

    def _read(self, port: int) -> Any:
        try:
            with open(self._path(port), "rb") as f:
                kept = json.loads(f.read(MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


HTTP_TIMEOUT_S, PULSE_TIMEOUT_S = 2.0, 1.0


class PortQuery(NamedTuple):
    """One port to be asked, at the first of the addresses where it answers. `who`: the processes
    there."""

    port: int
    addresses: Tuple[str, ...]
    servers: Tuple[Server, ...]
    entries: Tuple[Entry, ...]
    processes: List[List[Any]]

    def run(self, recall: AnswerCache) -> HttpAnswer:
        address = _reachable(self.port, self.addresses)
        return self._remembered(address, recall) or self._asked(address, recall)

    @property
    def _unproven(self) -> bool:
        """Whether its answer to /health does not show that it serves: it never did, as far as the
        entry knows."""
        early = bool(self.servers) and self.servers[0].invocation.runtime.listens_early
        return bool(
            early
            and self.entries
            and self.entries[0].process
            and "ready_at" not in self.entries[0].process
        )

    def _remembered(self, address: str, recall: AnswerCache) -> Optional[HttpAnswer]:
        known = recall.get(self.port, self.processes)
        if known is None or (self._unproven and not known.chats):
            return None
        latency = probe.reaction_time_ms(address, self.port, PULSE_TIMEOUT_S)
        return None if latency is None else known._replace(latency_ms=latency)

    def _asked(self, address: str, recall: AnswerCache) -> HttpAnswer:
        # Of a runtime whose only safe name is known, the list of models tells nothing, and may cost
        # a traceback.
        models = not (self.servers and self.servers[0].invocation.runtime.client_model)
        answer = probe.ask(address, self.port, HTTP_TIMEOUT_S, models)
        if answer.health == 200 and self._unproven:
            answer = answer._replace(chats=_chats(address, self.port, self.servers[0]))
        recall.store(self.port, self.processes, answer)
        return answer


def _chats(address: str, port: int, server: Server) -> bool:
    name = server.invocation.runtime.client_model or server.invocation.served_name or ""
    try:
        return probe.chat(address, port, name, HTTP_TIMEOUT_S).status == 200
    except Exception:  # as in probe.ask: a hostile answer is no answer
        return False


def _reachable(port: int, where: Sequence[str]) -> str:
    return next((a for a in where if probe.accepts_connection(a, port)), where[0])


def server_address(seen: PortEvidence, address: str) -> str:
    """Where the port's server answers; `address` is the host's own."""
    return _reachable(seen.port, candidate_addresses(seen.port, seen.listeners or (), address))


def candidate_addresses(port: int, listeners: Iterable[Listener], address: str) -> Tuple[str, ...]:
    """Where to knock: the host's own address, then wherever a listener was seen, then both
    loopbacks."""
    wildcard = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
    seen = [wildcard.get(ln.address, ln.address) for ln in listeners if ln.port == port]
    return tuple(dict.fromkeys([address, *seen, "127.0.0.1", "::1"]))
