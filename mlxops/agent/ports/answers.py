"""Cache the HTTP answers of ports for a minute, because each request writes a line to the server's
log.

A cached answer is only used for the very same processes, and only while the server reacts
(probe.reaction_time_ms)."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..api_key import NO_KEY, REFUSED, ApiKey
from ..procs import Listener
from ..registry.entries import Entry
from . import probe
from .evidence import HttpAnswer, PortEvidence, Server

MAX_AGE_S = 60.0
MAX_NAMES = 20
MAX_BYTES = 64 << 10


class AnswerCache(NamedTuple):
    """The answers below a state folder. `enabled`: whether they may replace a new request. `clock`:
    wall time in seconds. `max_age_s`: none is older than that."""

    state_dir: str
    enabled: bool = False
    clock: Callable[[], float] = time.time
    max_age_s: float = MAX_AGE_S

    def get(self, port: int, who: List[List[Any]]) -> Optional[HttpAnswer]:
        """The last answer of these processes; None if there is none or it is too old."""
        record = self._read(port) if self.enabled and who else {}
        at, answer = record.get("at"), record.get("answer")
        age = self.clock() - at if isinstance(at, (int, float)) else -1.0
        if record.get("of") != who or not 0 <= age < self.max_age_s or not isinstance(answer, dict):
            return None
        names = answer.get("models")
        models = (
            tuple(name for name in names if isinstance(name, str))
            if isinstance(names, list)
            else ()
        )
        return HttpAnswer(True, 200, models, answer.get("chats") is True or None)

    def store(self, port: int, who: List[List[Any]], answer: HttpAnswer) -> None:
        """Keep a good answer for the next look; other answers are not kept, so that they are
        requested again."""
        if (
            not who
            or answer.health != 200
            or answer.chats is False
            or answer.error
            or answer.refusal
        ):
            return
        fields = {"models": answer.models[:MAX_NAMES], "chats": answer.chats}
        path = self._path(port)
        draft = "%s.%d.tmp" % (path, os.getpid())
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(draft, "w") as f:
                json.dump({"at": self.clock(), "of": who, "answer": fields}, f)
            os.replace(draft, path)
        except OSError:
            # Without it the next look sends a request.
            _discard(draft)

    def _path(self, port: int) -> str:
        return os.path.join(self.state_dir, "run", "%d.answer.json" % port)

    def _read(self, port: int) -> Any:
        try:
            with open(self._path(port), "rb") as f:
                record = json.loads(f.read(MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


HTTP_TIMEOUT_S, PULSE_TIMEOUT_S = 2.0, 1.0


class PortQuery(NamedTuple):
    """One port to query, at the first of its addresses that accepts connections. `processes`: those
    that listen there. `key`: to send, none for a listener that may be a stranger's."""

    port: int
    addresses: Tuple[str, ...]
    servers: Tuple[Server, ...]
    entries: Tuple[Entry, ...]
    processes: List[List[Any]]
    key: ApiKey = NO_KEY

    def run(self, recall: AnswerCache) -> HttpAnswer:
        address = _reachable(self.port, self.addresses)
        return self._cached(address, recall) or self._query(address, recall)

    def _cached(self, address: str, recall: AnswerCache) -> Optional[HttpAnswer]:
        known = recall.get(self.port, self.processes)
        if known is None or (unproven(self.servers, self.entries) and not known.chats):
            return None
        latency = probe.reaction_time_ms(address, self.port, PULSE_TIMEOUT_S)
        return None if latency is None else known._replace(latency_ms=latency)

    def _query(self, address: str, recall: AnswerCache) -> HttpAnswer:
        # Runtimes with a fixed model name list nothing useful there, and may log a traceback.
        models = not (self.servers and self.servers[0].invocation.runtime.client_model)
        answer = probe.ask(address, self.port, HTTP_TIMEOUT_S, models, self.key)
        if answer.health == 200 and unproven(self.servers, self.entries):
            answer = self._chatted(address, answer)
        recall.store(self.port, self.processes, answer)
        return answer

    def _chatted(self, address: str, answer: HttpAnswer) -> HttpAnswer:
        call = self.servers[0].invocation
        name = call.runtime.client_model or call.served_name or ""
        try:
            status = probe.chat(address, self.port, name, HTTP_TIMEOUT_S, self.key).status
        except Exception:  # as in probe.ask: a malformed answer counts as none
            return answer._replace(chats=False)
        refusal = self.key.refusal(status) if status in REFUSED else ""
        return answer._replace(chats=status == 200, refusal=refusal)


def unproven(servers: Sequence[Server], entries: Sequence[Entry]) -> bool:
    """Whether /health does not show that the model serves: as far as the entry knows, it never
    did."""
    early = bool(servers) and servers[0].invocation.runtime.listens_early
    return bool(early and entries and entries[0].process and "ready_at" not in entries[0].process)


def _reachable(port: int, where: Sequence[str]) -> str:
    return next((a for a in where if probe.accepts_connection(a, port)), where[0])


def server_address(seen: PortEvidence, address: str) -> str:
    """Where the port's server answers; `address` is that of the host."""
    return _reachable(seen.port, candidate_addresses(seen.port, seen.listeners or (), address))


def candidate_addresses(port: int, listeners: Iterable[Listener], address: str) -> Tuple[str, ...]:
    """Addresses to try: the host's own, then those of the listeners, then both loopback
    addresses."""
    wildcard = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
    addresses = [wildcard.get(ln.address, ln.address) for ln in listeners if ln.port == port]
    return tuple(dict.fromkeys([address, *addresses, "127.0.0.1", "::1"]))
