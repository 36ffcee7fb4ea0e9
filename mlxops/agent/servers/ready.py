"""Wait until a new server really serves: process, listener, model name, a chat."""

from __future__ import annotations

import os
import signal
import time
from typing import Callable, NamedTuple, Optional, Tuple

from ..api_key import HINT, NO_KEY, REFUSED, ApiKey
from ..background import BackgroundCall
from ..clock import Deadline, wait_for
from ..errors import NotReady, free_bytes
from ..ports import probe, process_owner
from ..ports.observe import Snapshot, find_servers, scan
from ..procs import Procs, tree
from ..runtimes.log_errors import last_error
from ..runtimes.table import Runtime
from ..verify.chat import Endpoint
from ..verify.checks import IDENTITY, RAW_TAGS
from ..verify.verification import (
    LEAK_CHECK_TOKENS,
    SMOKE_TEST_TOKENS,
    Target,
    Verification,
    smoke_test,
)
from . import marks
from .launch import PendingServer, log_tail
from .startup_time import StartupEstimate

POLL_INTERVAL_S = 0.05
REPORT_INTERVAL_S = 1.0
RECHECK_S = 1.0
EXIT_WAIT_S = 0.3
# With less free space, the log may already be incomplete.
MIN_LOG_ROOM_BYTES = 64 << 10
# A message may list every tensor of a model.
MAX_CAUSE_LINES = 5000
ADDRESS_IN_USE = "address already in use"


class StartingServer(NamedTuple):
    """A server that is starting. `served_name`: what /v1/models must list, None if that proves
    nothing.

    `require_clean_output`: raw control tokens in its first answer, which is long enough to show
    them, fail the start. `entry`: for messages, "" if the server has none. `restoring`: it served
    before, so that it may ask for a key that nobody has told mlxops."""

    pending: PendingServer
    runtime: Runtime
    port: int
    address: str
    served_name: Optional[str]
    chat_name: str
    log: str
    began: float
    require_clean_output: bool = False
    entry: str = ""
    key: ApiKey = NO_KEY
    restoring: bool = False

    @property
    def subject(self) -> str:
        return self.entry or "the server"


def wait_ready(
    procs: Procs,
    start: StartingServer,
    estimate: StartupEstimate,
    check: Callable[[], None],
    report: Callable[[], None],
) -> Verification:
    """Wait until the server serves; returns what its first answer shows. Raises NotReady, with the
    end of the log, if it died, misbehaved or took too long.

    Meanwhile `check` is called, which may raise to cancel, and each second `report`."""
    try:
        return _wait_ready(procs, start, estimate, check, report)
    except NotReady as exc:
        if start.restoring and exc.fields.get("status") in REFUSED:
            return Verification(())
        raise


def _wait_ready(
    procs: Procs,
    start: StartingServer,
    estimate: StartupEstimate,
    check: Callable[[], None],
    report: Callable[[], None],
) -> Verification:
    deadline = Deadline(estimate.timeout_s)

    def until(condition: Callable[[], bool]) -> None:
        spoken = looked = time.monotonic()
        while not _alive_and(condition, procs, start, check):
            if deadline.passed:
                text = "was not ready within %g s; %s" % (estimate.timeout_s, _advice(start))
                raise _failure_by_log(start, text)
            if time.monotonic() - looked > RECHECK_S:
                looked = time.monotonic()
                _check_port(start)
            if time.monotonic() - spoken > REPORT_INTERVAL_S:
                spoken = time.monotonic()
                report()
            time.sleep(POLL_INTERVAL_S)

    until(lambda: probe.accepts_connection(start.address, start.port))
    _check_owner(procs, start)
    until(lambda: _healthy(start))
    _check_name(start)
    subject = Target(Endpoint(start.address, start.port, key=start.key), start.chat_name)
    tokens = LEAK_CHECK_TOKENS if start.require_clean_output else SMOKE_TEST_TOKENS
    chat = BackgroundCall(lambda: smoke_test(subject, deadline.left() + 1, tokens))
    until(lambda: chat.done(POLL_INTERVAL_S))
    proof = _shown_by(procs, start, chat)
    _check_owner(procs, start)
    return proof


def _advice(start: StartingServer) -> str:
    """A server that cannot write its log may hang forever."""
    folder = os.path.dirname(start.log)
    free = free_bytes(folder)
    if free is not None and free < MIN_LOG_ROOM_BYTES:
        return "the disk of its log is full (%d bytes free in %s); free some space there" % (
            free,
            folder,
        )
    return "try a longer --timeout"


def _alive_and(
    condition: Callable[[], bool], procs: Procs, start: StartingServer, check: Callable[[], None]
) -> bool:
    """Look once; raises if the process has died or the client cancelled."""
    check()
    _check_alive(procs, start)
    return condition()


def _check_alive(procs: Procs, start: StartingServer) -> None:
    status = start.pending.exited()
    if status is None:
        return
    pids = _in_background(procs, start) if status == 0 else ()
    if pids:
        text = (
            "moved to the background as pid %s; mlxops needs a server that stays in the foreground"
        )
        raise _failure(start, text % ", ".join(map(str, pids)))
    text = "%s before it was ready%s" % (_ended(status), _given_up(start))
    raise _failure_by_log(start, text, or_line=True)


def _in_background(procs: Procs, start: StartingServer) -> Tuple[int, ...]:
    """The pids of the server if it left the process that was started; its workers do not count."""
    table = procs.processes()
    pids = {p.pid for p in marks.marked_processes(procs, start.pending.mark, table)}
    servers = find_servers(table, {start.runtime.name: start.runtime}).get(start.port, ())
    return tuple(s.process.pid for s in servers if s.process.pid in pids)


def _ended(status: int) -> str:
    if status >= 0:
        return "ended with status %d" % status
    try:
        return "was killed by %s" % signal.Signals(-status).name
    except ValueError:
        return "was killed by signal %d" % -status


def _check_port(start: StartingServer) -> None:
    """Some servers continue without their port. Read the log for it: binding the port here could
    get in their way."""
    complaint = next(
        (line for line in reversed(log_tail(start.log)) if ADDRESS_IN_USE in line.lower()), ""
    )
    if complaint:
        raise _failure(start, "could not bind its port: %s" % complaint.strip()[-200:])


def _given_up(start: StartingServer) -> str:
    limit = start.runtime.gives_up_s
    if limit is None or time.monotonic() - start.began < limit:
        return ""
    return "; %s aborts a start after %.0f s" % (start.runtime.name, limit)


def _healthy(start: StartingServer) -> bool:
    try:
        status = probe.request(start.address, start.port, "/health", 2.0, key=start.key).status
    except Exception:  # no answer yet
        return False
    _check_key(start, status)
    if status == 503 and start.runtime.listens_early:
        raise _failure_by_log(start, "answers 503: its model failed to load")
    return status == 200


def _check_key(start: StartingServer, status: Optional[int]) -> None:
    if status in REFUSED:
        error = _failure(start, "cannot be used: %s" % start.key.refusal(status))
        error.hint = HINT
        error.fields["status"] = status
        raise error


def _check_name(start: StartingServer) -> None:
    if start.served_name is None:
        return
    try:
        reply = probe.request(start.address, start.port, "/v1/models", 5.0, key=start.key)
    except Exception as exc:
        raise _failure(start, "does not list its models: %s" % exc) from exc
    _check_key(start, reply.status)
    models = probe.model_ids(reply.json)
    if start.served_name not in models:
        raise _failure(
            start,
            "lists the model name %s instead of %s"
            % (", ".join(models) or "no name", start.served_name),
        )


def _shown_by(
    procs: Procs, start: StartingServer, chat: BackgroundCall[Verification]
) -> Verification:
    try:
        proof = chat.value()
    except Exception as exc:
        # The connection ends shortly before the process, whose exit status and complete log explain
        # more.
        wait_for(lambda: start.pending.exited() is not None, Deadline(EXIT_WAIT_S))
        _check_alive(procs, start)
        _check_key(start, getattr(exc, "status", None))
        text = "does not answer a chat: %s" % (exc or type(exc).__name__)
        raise _failure_by_log(start, text) from exc
    names_count = start.served_name is not None or start.runtime.client_model is not None
    for fault in proof.failures:
        if fault.check == IDENTITY and names_count:
            raise _failure(start, "reports another model name: %s" % fault.detail)
        if fault.check == RAW_TAGS and start.require_clean_output:
            raise _failure(start, "returns raw control tokens to clients: %s" % fault.detail)
    return proof


def _check_owner(procs: Procs, start: StartingServer) -> None:
    """The listener must belong to the started process. The port answered, so a scan without a
    listener is repeated."""
    snapshot = wait_for(lambda: _settled_snapshot(procs, start.port), Deadline(RECHECK_S)) or scan(
        procs, [start.port]
    )
    if snapshot.unknown:
        raise _failure(start, "cannot be shown to own its port: " + "; ".join(snapshot.unknown))
    owners = {ln.pid for ln in snapshot.listeners or ()}
    ours = {p.pid for p in tree(snapshot.processes, start.pending.process.pid)}
    if not owners:
        # It closed its port and is probably exiting; its exit status says more.
        wait_for(lambda: start.pending.exited() is not None, Deadline(RECHECK_S))
        _check_alive(procs, start)
        raise _failure(start, "no longer listens")
    if not owners <= ours:
        raise _failure(start, "does not own its port: %s" % _holders(snapshot))
    _check_form(snapshot, start)


def _holders(snapshot: Snapshot) -> str:
    pairs = [(ln, snapshot.processes.get(ln.pid or 0)) for ln in snapshot.listeners or ()]
    holders = {(ln.pid, process.uid if process else ln.uid) for ln, process in pairs}
    phrases = [
        "%s (user %s)" % ("pid %d" % pid if pid else "a process", process_owner.user_name(uid))
        for pid, uid in holders
    ]
    return "it belongs to %s" % " and ".join(sorted(phrases))


def _check_form(snapshot: Snapshot, start: StartingServer) -> None:
    """A server that cannot be recognised later must not stay: mlxops could not stop it."""
    if start.port not in find_servers(snapshot.processes, {start.runtime.name: start.runtime}):
        forms = [" ".join(form) for form in (*start.runtime.forms, *start.runtime.modules)]
        raise _failure(
            start, "runs under a command line that matches none of %s" % ", ".join(forms)
        )


def _settled_snapshot(procs: Procs, port: int) -> Optional[Snapshot]:
    snapshot = scan(procs, [port])
    return snapshot if snapshot.listeners and not snapshot.unknown else None


def _failure(start: StartingServer, what: str) -> NotReady:
    return NotReady(
        "the server on port %d %s" % (start.port, what),
        "mlxops logs %d" % start.port,
        port=start.port,
        log=list(log_tail(start.log)),
    )


def _failure_by_log(start: StartingServer, what: str, or_line: bool = False) -> NotReady:
    """The same with the last error of the log first, or with its last line."""
    error = _failure(start, what)
    cause = last_error(log_tail(start.log, MAX_CAUSE_LINES), or_line)
    if cause:
        error.message = "%s did not start on port %d: %s (%s)" % (
            start.subject,
            start.port,
            cause,
            "the server " + what,
        )
        error.fields["cause"] = cause
    return error
