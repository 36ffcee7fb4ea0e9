"""One call to a host: send the request, pass on its events, return or raise its last record."""

from __future__ import annotations

import contextlib
import os
import pwd
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from . import bundle, interrupts, start_errors, transport
from .agent.errors import Interrupted, LinkLost, MlxopsError, from_wire
from .agent.wire import codec as wire
from .agent.wire.conversation import Conversation
from .transport import Link

if TYPE_CHECKING:
    from .hosts.files import Host

OnEvent = Callable[[dict[str, Any]], None]
POLL_INTERVAL_S = 0.1
# Output of a login before the agent answers.
MAX_NOISE_BYTES = 32 << 20
# From the login, or from sending the agent, to its first answer. The host gives up after 60 s.
START_TIMEOUT_S = 75.0
# Time to wait for a rollback after a cancel, and for the end of a verb without a job.
CANCEL_TIMEOUT_S, LEAVE_TIMEOUT_S = 900.0, 30.0
NOTHING_DONE = "interrupted; nothing was done on the host"


def call(
    host: Host,
    verb: str,
    args: dict[str, Any],
    on_event: OnEvent,
    meanwhile: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Run a verb on the host and return its result; MlxopsError for any failure.

    Ctrl-C asks the agent to cancel and roll back, waits for its last record and raises Interrupted
    with the outcome; a second Ctrl-C does not wait. `meanwhile` is called once while the host
    works, for imports that then take no extra time."""
    payload = request(host, verb, args)
    connection = transport.open_for(host)
    packed = bundle.pack()
    try:
        with interrupts.raise_on(1):
            link = connection.open(host.python)
    except KeyboardInterrupt:
        raise Interrupted(NOTHING_DONE) from None
    try:
        return converse(host, link, packed, payload, on_event, meanwhile)
    except KeyboardInterrupt:
        raise Interrupted("interrupted", "mlxops status") from None


def request(host: Host, verb: str, args: dict[str, Any]) -> bytes:
    """The request as one line."""
    machine = os.uname().nodename + (" (cron)" if host.by_cron else "")
    who = {"user": user(), "from": machine}
    return wire.encode(
        {"protocol": wire.PROTOCOL, "verb": verb, "args": args, "site": host.site, "who": who}
    )


def user() -> str:
    """The name of this account. USER may be wrong, and is missing under cron."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def converse(
    host: Host,
    link: Link,
    packed: bundle.Bundle,
    payload: bytes,
    on_event: OnEvent,
    meanwhile: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Make the call on an open link, and close the link."""
    with interrupts.raise_on(2) as state:
        try:
            return HostCall(host, link, packed, on_event, state).run(payload, meanwhile)
        finally:
            link.close()


class HostCall:
    """One call on an open link, from the handshake to the last record."""

    ping_every_s = wire.PING_INTERVAL_S
    silence_limit_s = wire.SILENCE_TIMEOUT_S
    start_limit_s = START_TIMEOUT_S

    def __init__(
        self,
        host: Host,
        link: Link,
        packed: bundle.Bundle,
        on_event: OnEvent,
        state: interrupts.InterruptState,
    ) -> None:
        self._host = host
        self._link = link
        self._on_event = on_event
        self._interrupts = state
        self._conversation = Conversation(
            packed, self._deliver, partial(start_errors.stub_error, host)
        )
        self._heard = self._pinged = self._began = time.monotonic()
        self._cancelled_at: float | None = None
        self._warned = False
        self._jobs: list[str] = []

    def run(self, request: bytes, meanwhile: Callable[[], object] | None = None) -> dict[str, Any]:
        """Send the request, and return the result of the last record or raise its error."""
        try:
            return self._run(request, meanwhile)
        except LinkLost as exc:
            exc.hint = exc.hint or self._resume_hint()
            raise
        except KeyboardInterrupt:
            if not self._jobs:
                raise
            message = "interrupted; the job continues on the host"
            raise Interrupted(message, self._resume_hint()) from None

    def _resume_hint(self) -> str:
        """The next command after a lost link: a load continues on the host, a read ends with the
        link."""
        if len(self._jobs) == 1:
            job = self._jobs[0]
            if self._cancelled_at is not None:
                return f"the host is rolling back; `mlxops jobs --follow {job}` shows how it ends"
            return (
                f"`mlxops jobs --follow {job}` shows how it ends, `mlxops cancel {job}` undoes it"
            )
        return "`mlxops jobs` lists the jobs that still run; if there is none, run it again"

    def _run(self, request: bytes, meanwhile: Callable[[], object] | None) -> dict[str, Any]:
        self._raise_if_interrupted()
        # A host that takes no input has ended; its output says why.
        with contextlib.suppress(LinkLost):
            state_dir = self._host.site["state_dir"]
            self._link.send(self._conversation.handshake(state_dir, request))
        if meanwhile:
            meanwhile()
        self._began = time.monotonic()
        while True:
            for record in self._conversation.feed(self._next()):
                if "event" not in record:
                    return self._outcome(record)
                self._note(record)
            if not self._conversation.started:
                self._check_start()

    def _deliver(self, agent: bytes) -> None:
        """Send the agent, where it is missing."""
        self._raise_if_interrupted()
        self._link.send(agent)
        self._began = time.monotonic()

    def _raise_if_interrupted(self) -> None:
        """Until the agent is sent there is nothing to cancel."""
        if self._interrupts.count:
            raise Interrupted(NOTHING_DONE)

    def _check_start(self) -> None:
        """LinkLost for a login that prints without end, or for too long."""
        printed = self._conversation.noise_bytes
        if time.monotonic() - self._began > self.start_limit_s:
            raise self._silence(f"did not start the agent within {self.start_limit_s:.0f} s")
        if printed > MAX_NOISE_BYTES:
            raise self._silence(f"printed {printed >> 20} MiB and did not start the agent")

    def _silence(self, what: str) -> LinkLost:
        return start_errors.silence_error(self._host, what, self._conversation.noise)

    def _note(self, event: dict[str, Any]) -> None:
        if event["event"] == "job":
            self._jobs.append(str(event.get("job")))
        self._on_event(event)

    def _outcome(self, record: dict[str, Any]) -> dict[str, Any]:
        """The last record as result or error; after a cancel as Interrupted with the outcome."""
        fault = from_wire(record["error"]) if isinstance(record.get("error"), dict) else None
        if self._interrupts.count and not isinstance(fault, Interrupted):
            raise interrupts.interrupted_after_end(record.get("result"), fault)
        if fault:
            raise fault
        value = record.get("result")
        if not isinstance(value, dict):
            raise LinkLost("the agent's last record has no result", "mlxops status")
        return value

    def _next(self) -> bytes:
        """The next bytes; LinkLost if the link ends or stays silent longer than pings allow."""
        while True:
            self._cancel_if_asked()
            self._ping_if_due()
            chunk = self._link.receive(POLL_INTERVAL_S)
            if chunk:
                self._heard = time.monotonic()
                return chunk
            if chunk is not None:
                raise self._end_error()
            if time.monotonic() - self._heard > self.silence_limit_s:
                raise self._silent_error()

    def _silent_error(self) -> LinkLost:
        limit = f"for {self.silence_limit_s:.0f} s"
        if not self._conversation.started:
            return self._silence(f"printed nothing {limit}")
        message = f"no data from {self._host.name} {limit}"
        return LinkLost(message, stderr=self._link.stderr_tail())

    def _end_error(self) -> MlxopsError:
        if self._conversation.started:
            return end_of_link_error(self._host, self._link)
        return start_errors.ended_error(self._host, self._link, self._conversation.noise)

    def _ping_if_due(self) -> None:
        # Before the agent has started, a ping would be read as a part of it.
        due = time.monotonic() - self._pinged >= self.ping_every_s
        if self._conversation.started and due:
            self._pinged = time.monotonic()
            self._link.send(wire.PING)

    def _cancel_if_asked(self) -> None:
        if not self._interrupts.count:
            return
        if self._interrupts.count > 1:
            # In the main thread, the second signal raises by itself.
            raise KeyboardInterrupt
        if not self._warned:
            self._warned = True
            if threading.current_thread() is threading.main_thread():
                message = "cancelling (press Ctrl-C again to quit without waiting)"
                self._on_event(wire.event("warning", message=message))
        if self._conversation.started and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            self._link.send(wire.CANCEL)
        limit = CANCEL_TIMEOUT_S if self._jobs else LEAVE_TIMEOUT_S
        if self._cancelled_at is not None and time.monotonic() - self._cancelled_at > limit:
            message = "interrupted; the host did not confirm the end of the job"
            raise Interrupted(message, self._resume_hint())


def end_of_link_error(host: Host, link: Link) -> MlxopsError:
    """The error for an agent that ended without a last record."""
    status, stderr = link.exit_status(), link.stderr_tail()
    last = stderr.splitlines()[-1] if stderr else ""
    facts = {"exit_status": status, "stderr": stderr}
    if status is None:
        # HostCall adds the hint: it knows whether a job continues.
        return LinkLost(
            f"the link to {host.name} broke before the end: {last}".rstrip(": "), "", **facts
        )
    message = f"the agent on {host.name} ended without an answer (exit status {status}): {last}"
    return LinkLost(message.rstrip(": "), "mlxops status", **facts)
