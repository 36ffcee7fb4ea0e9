"""One request to an agent that this agent starts: the same protocol as between client and agent."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any, Deque, Dict, Mapping, Sequence

from ..clock import Deadline
from ..errors import Failed, LinkLost, MlxopsError, from_wire
from . import codec as wire
from .bootstrap import FLAGS, LOADER, own_bundle
from .child import ChildPipes
from .conversation import Conversation

EXIT_TIMEOUT_S = 5.0
NEVER = Deadline(float("inf"))


class ChildAgent:
    """One request to an agent behind a child's pipes. Use as a context: at its end the pipes are
    closed.

    A subclass says what the errors are about."""

    def __init__(self, argv: Sequence[str], request: Mapping[str, Any]) -> None:
        """Start the child and send it the request; OSError if it cannot be started."""
        self.heard = time.monotonic()
        self._conversation = Conversation(own_bundle(), self.send, self._stub_error)
        self._records: Deque[Dict[str, Any]] = deque()
        self._pipes = ChildPipes(argv)
        line = wire.encode({"protocol": wire.PROTOCOL, **request})
        self.send(self._conversation.handshake(request["site"]["state_dir"], line))

    def __enter__(self) -> ChildAgent:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()

    def close(self) -> None:
        raise NotImplementedError

    def send(self, payload: bytes) -> None:
        """Send bytes to the agent. A failure shows in what comes back: the child ends by itself, or
        is killed here."""
        try:
            self._pipes.write(payload)
        except BrokenPipeError:
            return
        except OSError:
            self._pipes.kill()

    def handshake(self, deadline: Deadline) -> None:
        """Wait until the agent runs; send it if it is missing."""
        while not self._conversation.started:
            self._read(deadline)

    def record(self, deadline: Deadline) -> Dict[str, Any]:
        """The next event, or {"result"}; raises the error that the agent ended with."""
        while True:
            while not self._records:
                self._read(deadline)
            record = self._records.popleft()
            if "error" in record:
                raise self._named(from_wire(record["error"]))
            if record.get("event") != "ping":
                return record
            self.send(wire.PING)

    def result(self, deadline: Deadline) -> Any:
        while True:
            record = self.record(deadline)
            if "result" in record:
                return record["result"]

    def _read(self, deadline: Deadline) -> None:
        """Take in what the agent sends within a second."""
        if deadline.passed:
            raise self._silence_error()
        chunk = self._pipes.read(min(deadline.left(), 1.0))
        if chunk == b"":
            # Not for long: another process may hold the child's stderr open.
            last = self._pipes.stderr_tail(0.5).rpartition("\n")[2]
            raise self._end_error(last)
        if chunk:
            self.heard = time.monotonic()
            self._records.extend(self._conversation.feed(chunk))

    def _stub_error(self, word: str, text: str) -> MlxopsError:
        """The error for an agent that does not start, from the stub's word and text."""
        raise NotImplementedError

    def _silence_error(self) -> MlxopsError:
        """The error for an agent that did not answer before the deadline."""
        raise NotImplementedError

    def _end_error(self, last_line: str) -> MlxopsError:
        """The error for a child that ended without a result; `last_line`: of its stderr."""
        raise NotImplementedError

    def _named(self, error: MlxopsError) -> MlxopsError:
        """The agent's error, with the name of the agent if that matters."""
        return error


class LocalAgent(ChildAgent):
    """A request to a further agent on this host, as the same user. At the end of the context, or if
    this process dies, only its link ends: a verb that outlives its client goes on."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        super().__init__([sys.executable, *FLAGS, LOADER], request)

    def __enter__(self) -> LocalAgent:
        return self

    def close(self) -> None:
        self._pipes.close()
        self._pipes.exit_status(EXIT_TIMEOUT_S)

    def cancel(self) -> None:
        """Ask the agent to stop and to roll back."""
        self.send(wire.CANCEL)

    def _stub_error(self, word: str, text: str) -> Failed:
        return Failed("cannot start another agent on this host: %s" % text, "mlxops doctor")

    def _silence_error(self) -> LinkLost:
        return LinkLost("another agent on this host did not answer in time", "mlxops jobs")

    def _end_error(self, last_line: str) -> LinkLost:
        what = "the agent that worked on it ended without an answer"
        return LinkLost(": ".join(filter(None, (what, last_line))), "mlxops status")
