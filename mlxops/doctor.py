"""The client's checks of doctor: host file, ssh settings, each step of the connection, and the
clocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .agent.errors import HostKeyRefused, HostUnreachable, LoginRefused, MlxopsError
from .hosts.files import Host

if TYPE_CHECKING:
    from .transport.settings import Settings

Row = dict[str, Any]
# The steps of a connection in order, each with the error of its failure.
CONNECT_STEPS: tuple[tuple[str, type[MlxopsError]], ...] = (
    ("address", HostUnreachable),
    ("host key", HostKeyRefused),
    ("login", LoginRefused),
)
# Beyond the first, logs and locks mislead; beyond the second, certificates may be refused.
SKEW_WARNING_S, SKEW_WRONG_S = 2.0, 300.0


def row(check: str, verdict: str, detail: str, fix: str = "", side: str = "client") -> Row:
    """One row of the result; `fix` is the command that fixes the problem."""
    return {"side": side, "check": check, "verdict": verdict, "seen": detail, "mend": fix or None}


class CallTimes:
    """When the request of a call went out, and the host's clock, each None until known. Epoch
    seconds."""

    def __init__(self, fallback: Callable[[dict[str, Any]], None]) -> None:
        self._fallback = fallback
        self.sent_at: float | None = None
        self.clock: tuple[Any, float] | None = None

    def sent(self) -> None:
        self.sent_at = time.time()

    def event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "clock":
            self.clock = (event.get("now"), time.time())
        else:
            self._fallback(event)


def client_rows(host: Host, call: CallTimes, fault: MlxopsError | None) -> list[Row]:
    """Every check of the client, and of the agent if it did not answer."""
    rows = guarded("host file", lambda: [host_file_row(host)])
    if host.transport == "ssh":
        rows += guarded(
            "ssh settings", lambda: ssh_rows(host, fault if call.sent_at is None else None)
        )
    if fault:
        connecting = host.transport == "ssh" and call.sent_at is None
        at_a_step = connecting and isinstance(fault, tuple(cls for _, cls in CONNECT_STEPS))
        return [*rows, agent_row(fault, at_a_step or any(r["verdict"] == "wrong" for r in rows))]
    return [*rows, *guarded("clock", lambda: [measured_clock(call)])]


def guarded(check: str, look: Callable[[], list[Row]]) -> list[Row]:
    """The rows of a check; if it raises, one row with the error, and the others still count."""
    try:
        return look()
    except Exception as exc:
        return [row(check, "unknown", f"{type(exc).__name__}: {exc}", "mlxops --debug doctor")]


def host_file_error(fault: MlxopsError) -> list[Row]:
    """The only row if the host file cannot be read."""
    return [row("host file", "wrong", fault.message, fault.hint)]


def agent_row(fault: MlxopsError, not_reached: bool) -> Row:
    if not_reached:
        return row("agent", "unknown", "host not reached", side="host")
    return row("agent", "wrong", fault.message, fault.hint, side="host")


def host_file_row(host: Host) -> Row:
    """The file, and those of the same name that it hides. A file that others can change is refused
    before the call."""
    from .hosts import folders

    named = str(host.named_folder) if host.named_folder else None
    hidden = [
        str(one.path)
        for one in folders.candidates(named)
        if one.name == host.name and one.path != host.path
    ]
    hides = f"; hides {', '.join(hidden)}" if hidden else ""
    return row("host file", "ok", str(host.path.resolve()) + hides)


def ssh_rows(host: Host, fault: MlxopsError | None) -> list[Row]:
    """ssh's settings and the steps of the connection, which `fault` ended, if any."""
    from .transport.settings import query_ssh

    try:
        settings = query_ssh(host.ssh)
    except MlxopsError as exc:
        return [row("ssh settings", "wrong", exc.message, exc.hint), *step_rows([], type(exc), exc)]
    detail = f"`ssh -G {settings.alias}`: {settings.user}@{settings.hostname} port {settings.port}"
    return [
        row("ssh settings", "ok", detail),
        *step_rows(step_details(settings), type(fault), fault),
    ]


def step_details(settings: Settings) -> list[str]:
    """The details of each step of CONNECT_STEPS, for those that passed."""
    from .transport import knownhosts

    keys = [
        key
        for name in settings.key_names
        for key in knownhosts.read_keys(settings.known_hosts, name)
    ]
    files = dict.fromkeys(key.file for key in keys if not key.marker)
    through = f" through {settings.proxy_jump or settings.proxy_command}"
    proxied = through if settings.proxy_jump or settings.proxy_command else ""
    return [
        f"{settings.address_label} answers{proxied}",
        f"listed in {' or '.join(files)}",
        f"as {settings.user}",
    ]


def step_rows(words: list[str], kind: type, fault: MlxopsError | None) -> Iterator[Row]:
    """A row per step: ok before the fault, wrong at it, unknown after it."""
    names = [cls for _, cls in CONNECT_STEPS]
    at = names.index(kind) if words and kind in names else len(words)
    for number, (check, _) in enumerate(CONNECT_STEPS):
        if number < at:
            yield row(check, "ok", words[number])
        elif fault and words and number == at:
            yield row(check, "wrong", fault.message, fault.hint)
        else:
            yield row(check, "unknown", "not reached")


def measured_clock(call: CallTimes) -> Row:
    """The difference of the clocks, known to half the round-trip time."""
    if call.sent_at is None or call.clock is None:
        return row("clock", "unknown", "the host did not report its time")
    theirs, heard_at = call.clock
    error = abs(heard_at - call.sent_at) / 2
    return clock_row(float(theirs) - (call.sent_at + heard_at) / 2, error)


def clock_row(ahead_s: float, error_s: float) -> Row:
    """The row for a host clock that is so many seconds ahead of this one, give or take the
    error."""
    least = max(0.0, abs(ahead_s) - error_s)
    verdict = "wrong" if least > SKEW_WRONG_S else "warning" if least > SKEW_WARNING_S else "ok"
    way = "ahead of" if ahead_s > 0 else "behind"
    detail = f"the host is {abs(ahead_s):.2f} s {way} this machine, give or take {error_s:.2f} s"
    if not least:
        detail = f"clocks agree within {error_s:.2f} s"
    fix = "on a Mac: sudo sntp -sS time.apple.com; on Linux: sudo timedatectl set-ntp true"
    return row("clock", verdict, detail, "" if verdict == "ok" else fix)
