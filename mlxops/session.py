"""One call to a host: the request goes out, events come in, and the last record is returned or
raised."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import bundle, interrupts, start_errors, transport
from .agent.errors import Interrupted, LinkLost, MlxopsError, from_wire
from .agent.wire import codec as wire
from .transport import Link

if TYPE_CHECKING:
    from .hosts.files import Host

OnEvent = Callable[[dict[str, Any]], None]
POLL_INTERVAL_S = 0.1
# What a login may print before the agent answers.
MAX_NOISE_BYTES = 32 << 20
# From the login, or from the agent sent, to its first word. The host's side gives up after 60 s.
START_TIMEOUT_S = 75.0
# How long an undoing is waited for, and how long the end of what has nothing to undo.
CANCEL_TIMEOUT_S, LEAVE_TIMEOUT_S = 900.0, 30.0
NOTHING_DONE = "interrupted before anything was done on the host"


def call(
    host: Host,
    verb: str,
    args: dict[str, Any],
    on_event: OnEvent,
    meanwhile: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Run a verb on the host and return its result; MlxopsError for every way that can go wrong.

    Ctrl-C asks the agent to cancel and undo, waits for its last record and raises Interrupted with
    the outcome; a second one leaves at once. `meanwhile` is called once while the host is at work:
    imports cost nothing there."""
    asked = request(host, verb, args)
    reach = transport.open_for(host)
    packed = bundle.pack()
    try:
        with interrupts.raise_on(1):
            link = reach.open(host.python)
    except KeyboardInterrupt:
        raise Interrupted(NOTHING_DONE) from None
    try:
        return converse(host, link, packed, asked, on_event, meanwhile)
    except KeyboardInterrupt:
        raise Interrupted("interrupted", "`mlxops status` shows how things stand") from None


def request(host: Host, verb: str, args: dict[str, Any]) -> bytes:
    """The request as the agent reads it."""
    who = {"user": user(), "from": os.uname().nodename}
    return wire.encode(
        {"protocol": wire.PROTOCOL, "verb": verb, "args": args, "site": host.site, "who": who}
    )


def user() -> str:
    """The account this runs as; cron and containers set no USER, and USER may lie."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def converse(
    host: Host,
    link: Link,
    packed: bundle.Bundle,
    asked: bytes,
    on_event: OnEvent,
    meanwhile: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """The conversation on an open link, which is closed at its end."""
    with interrupts.raise_on(2) as presses:
        try:
            return Conversation(host, link, packed, on_event, presses).run(asked, meanwhile)
        finally:
            link.close()


class Conversation:
    """The bytes of one call, from the marker to the last record."""

    ping_every_s = wire.PING_INTERVAL_S
    silence_limit_s = wire.SILENCE_TIMEOUT_S
    start_limit_s = START_TIMEOUT_S

    def __init__(
        self,
        host: Host,
        link: Link,
        packed: bundle.Bundle,
        on_event: OnEvent,
        presses: interrupts.InterruptState,
    ) -> None:
        self._host = host
        self._link = link
        self._bundle = packed
        self._on_event = on_event
        self._marker = os.urandom(16).hex()
        self._heard = self._pinged = time.monotonic()
        self._presses = presses
        self._cancelled: float | None = None
        self._told = False
        # Until then whatever is sent would be read as a part of the agent.
        self._started = False
        self._jobs: list[str] = []

    def run(self, asked: bytes, meanwhile: Callable[[], object] | None = None) -> dict[str, Any]:
        """Ask, and return the result of the last record or raise its error."""
        try:
            return self._run(asked, meanwhile)
        except LinkLost as exc:
            exc.hint = exc.hint or self._goes_on()
            raise
        except KeyboardInterrupt:
            if not self._jobs:
                raise
            raise Interrupted("interrupted; the host goes on by itself", self._goes_on()) from None

    def _goes_on(self) -> str:
        """What to do where the link is lost: a load on the host goes on by itself, a read ended
        with the link."""
        if len(self._jobs) == 1:
            job = self._jobs[0]
            if self._cancelled is not None:
                return f"the host is rolling back; `mlxops follow {job}` shows how it ends"
            return f"`mlxops follow {job}` shows whether and how it goes on there, `mlxops cancel {job}` undoes it"
        return "`mlxops jobs` shows what goes on there; if nothing does, run it again"

    def _run(self, asked: bytes, meanwhile: Callable[[], object] | None) -> dict[str, Any]:
        self._unasked()
        # Whoever takes no input has ended, and what it printed says why.
        with contextlib.suppress(LinkLost):
            self._link.send(
                self._bundle.handshake(self._marker, self._host.site["state_dir"], asked)
            )
        if meanwhile:
            meanwhile()
        chunk = self._until_started()
        lines = wire.Lines()
        while True:
            for line in lines.feed(chunk):
                record = wire.decode(line)
                if "event" not in record:
                    return self._outcome(record)
                self._note(record)
            chunk = self._next()

    def _note(self, event: dict[str, Any]) -> None:
        if event["event"] == "job":
            self._jobs.append(str(event.get("job")))
        self._on_event(event)

    def _outcome(self, record: dict[str, Any]) -> dict[str, Any]:
        """The last record as result or error; after a cancel, as Interrupted that tells what became
        of it."""
        fault = from_wire(record["error"]) if isinstance(record.get("error"), dict) else None
        if self._presses.count and not isinstance(fault, Interrupted):
            raise interrupts.interrupted_after_end(record.get("result"), fault)
        if fault:
            raise fault
        value = record.get("result")
        if not isinstance(value, dict):
            raise LinkLost(
                "the agent sent a last record that is no result",
                "`mlxops status` shows how things stand",
            )
        return value

    def _until_started(self) -> bytes:
        """Skip what the login prints, hand over the agent if it is missing, and return the first
        bytes after OK."""
        noise, printed = b"", 0
        delivered = 0
        since = time.monotonic()
        while True:
            word, text, rest = parse_stub_line(noise, self._marker.encode())
            if word == "OK":
                self._started = True
                return rest
            if word == "MISS" and delivered < 2:
                self._unasked()
                self._link.send(self._bundle.frames())
                delivered, noise, since = delivered + 1, rest, time.monotonic()
            elif word:
                raise start_errors.stub_error(self._host, word, text)
            elif time.monotonic() - since > self.start_limit_s:
                raise start_errors.silence_error(
                    self._host, f"did not start the agent within {self.start_limit_s:.0f} s", noise
                )
            elif printed > MAX_NOISE_BYTES:
                what = f"printed {printed >> 20} MiB and did not start the agent"
                raise start_errors.silence_error(self._host, what, noise)
            else:
                chunk = self._next(noise)
                noise, printed = noise[-(1 << 16) :] + chunk, printed + len(chunk)

    def _unasked(self) -> None:
        """Before the agent has all it needs there is nothing to cancel."""
        if self._presses.count:
            raise Interrupted(NOTHING_DONE)

    def _next(self, noise: bytes = b"") -> bytes:
        """The next bytes; LinkLost when they end, or do not come for as long as no ping takes.

        `noise`: what the host printed so far instead of an answer.
        """
        while True:
            self._mind_cancel()
            self._mind_ping()
            chunk = self._link.receive(POLL_INTERVAL_S)
            if chunk:
                self._heard = time.monotonic()
                return chunk
            if chunk is not None:
                raise self._ended(noise)
            if time.monotonic() - self._heard > self.silence_limit_s:
                if not self._started:
                    raise start_errors.silence_error(
                        self._host, f"said nothing for {self.silence_limit_s:.0f} s", noise
                    )
                raise LinkLost(
                    f"nothing was heard from {self._host.name} for {self.silence_limit_s:.0f} s",
                    stderr=self._link.stderr_tail(),
                )

    def _ended(self, noise: bytes) -> MlxopsError:
        if self._started:
            return end_of_link_error(self._host, self._link)
        return start_errors.ended_error(self._host, self._link, noise)

    def _mind_ping(self) -> None:
        if self._started and time.monotonic() - self._pinged >= self.ping_every_s:
            self._pinged = time.monotonic()
            self._link.send(wire.PING)

    def _mind_cancel(self) -> None:
        if self._presses.count and not self._told:
            self._told = True
            self._on_event(wire.event("warning", message="cancelling; Ctrl-C again leaves at once"))
        if self._presses.count and self._started and self._cancelled is None:
            self._cancelled = time.monotonic()
            self._link.send(wire.CANCEL)
        limit = CANCEL_TIMEOUT_S if self._jobs else LEAVE_TIMEOUT_S
        if self._cancelled is not None and time.monotonic() - self._cancelled > limit:
            raise Interrupted("interrupted; the host has not said that it ended", self._goes_on())


def parse_stub_line(heard: bytes, marker: bytes) -> tuple[str, str, bytes]:
    """The stub's word and text in what was heard, with the bytes after its line; no word when it is
    not there yet.

    The marker may follow anything, even a prompt without a newline."""
    _, found, after = heard.partition(marker + b" ")
    line, newline, rest = after.partition(b"\n")
    if not found or not newline:
        return "", "", b""
    word, _, text = line.decode("utf-8", "replace").partition(" ")
    return word, text, rest


def end_of_link_error(host: Host, link: Link) -> MlxopsError:
    """The error for an agent that ended without a last record."""
    status, said = link.exit_status(), link.stderr_tail()
    last = said.splitlines()[-1] if said else ""
    facts = {"exit_status": status, "stderr": said}
    if status is None:
        # Its hint is the conversation's, which knows whether work goes on there.
        return LinkLost(
            f"the link to {host.name} broke before the end: {last}".rstrip(": "), "", **facts
        )
    message = f"the agent on {host.name} ended without an answer (exit status {status}): {last}"
    return LinkLost(message.rstrip(": "), "`mlxops status` shows how things stand", **facts)
