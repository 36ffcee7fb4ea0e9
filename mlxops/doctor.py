"""The client's side of doctor: how far a call came, from the host file to the login, and how the
two clocks compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .agent.errors import HostKeyRefused, HostUnreachable, LoginRefused, MlxopsError
from .hosts.files import Host

if TYPE_CHECKING:
    from .transport.settings import Settings

Row = dict[str, Any]
# The steps of a connection in their order, and the error each of them ends with.
CONNECT_STEPS: tuple[tuple[str, type[MlxopsError]], ...] = (
    ("address", HostUnreachable),
    ("host key", HostKeyRefused),
    ("login", LoginRefused),
)
# Logs and locks mislead beyond the first; certificates may be refused beyond the second.
SKEW_WARNING_S, SKEW_WRONG_S = 2.0, 300.0


def row(check: str, verdict: str, seen: str, mend: str = "", side: str = "client") -> Row:
    """One row of the answer; `mend` is the command that mends it."""
    return {"side": side, "check": check, "verdict": verdict, "seen": seen, "mend": mend or None}


class CallTimes:
    """What was learnt of one call while it ran: whether the request went out, and the host's clock.
    Epoch seconds."""

    def __init__(self, otherwise: Callable[[dict[str, Any]], None]) -> None:
        self._otherwise = otherwise
        self.sent_at: float | None = None
        self.clock: tuple[Any, float] | None = None

    def sent(self) -> None:
        self.sent_at = time.time()

    def event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "clock":
            self.clock = (event.get("now"), time.time())
        else:
            self._otherwise(event)


def client_rows(host: Host, call: CallTimes, fault: MlxopsError | None) -> list[Row]:
    """Every check of this side, and of the agent where it gave no answer."""
    rows = guarded("host file", lambda: [host_file_row(host)])
    if host.transport == "ssh":
        rows += guarded(
            "ssh settings", lambda: ssh_rows(host, fault if call.sent_at is None else None)
        )
    if fault:
        way = (
            [cls for _, cls in CONNECT_STEPS]
            if host.transport == "ssh" and call.sent_at is None
            else []
        )
        lost = isinstance(fault, tuple(way)) or any(one["verdict"] == "wrong" for one in rows)
        return [*rows, agent_row(fault, lost)]
    return [*rows, *guarded("clock", lambda: [measured_clock(call)])]


def guarded(check: str, look: Callable[[], list[Row]]) -> list[Row]:
    """The rows of a check; where it breaks, one that says so, and the others still count."""
    try:
        return look()
    except Exception as exc:
        return [row(check, "unknown", f"{type(exc).__name__}: {exc}", "if it stays so, report it")]


def host_file_error(fault: MlxopsError) -> list[Row]:
    """The one row there is without a host file that can be read."""
    return [row("host file", "wrong", fault.message, fault.hint)]


def agent_row(fault: MlxopsError, not_reached: bool) -> Row:
    if not_reached:
        return row(
            "agent",
            "unknown",
            "the host was not reached, so nothing on it was looked at",
            side="host",
        )
    return row("agent", "wrong", fault.message, fault.hint, side="host")


def host_file_row(host: Host) -> Row:
    """One that others could change is refused before a call is made."""
    return row("host file", "ok", str(host.path.resolve()))


def ssh_rows(host: Host, fault: MlxopsError | None) -> list[Row]:
    """ssh's settings and the steps of the connection, which ended with `fault`, if it did not go
    all the way."""
    from .transport.settings import query_ssh

    try:
        settings = query_ssh(host.ssh)
    except MlxopsError as exc:
        return [row("ssh settings", "wrong", exc.message, exc.hint), *step_rows([], type(exc), exc)]
    seen = f"`ssh -G {settings.alias}`: {settings.user}@{settings.hostname} port {settings.port}"
    return [row("ssh settings", "ok", seen), *step_rows(step_details(settings), type(fault), fault)]


def step_details(settings: Settings) -> list[str]:
    """What a step that was passed is shown with, per step of WAY."""
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
    """A row per step: those before the fault are ok, its own is wrong, those behind it are
    unknown."""
    names = [cls for _, cls in CONNECT_STEPS]
    at = names.index(kind) if words and kind in names else len(words)
    for number, (check, _) in enumerate(CONNECT_STEPS):
        if number < at:
            yield row(check, "ok", words[number])
        elif fault and words and number == at:
            yield row(check, "wrong", fault.message, fault.hint)
        else:
            yield row(check, "unknown", "the connection did not come that far")


def measured_clock(call: CallTimes) -> Row:
    """The host's clock against ours, as well as it can be known: within half of what question and
    answer took."""
    if call.sent_at is None or call.clock is None:
        return row("clock", "unknown", "the host did not tell the time")
    theirs, heard_at = call.clock
    error = abs(heard_at - call.sent_at) / 2
    return clock_row(float(theirs) - (call.sent_at + heard_at) / 2, error)


def clock_row(ahead_s: float, error_s: float) -> Row:
    """The row of a host whose clock is that far ahead of ours, give or take the error. Seconds."""
    least = max(0.0, abs(ahead_s) - error_s)
    verdict = "wrong" if least > SKEW_WRONG_S else "warning" if least > SKEW_WARNING_S else "ok"
    way = "ahead of" if ahead_s > 0 else "behind"
    seen = f"the host's is {abs(ahead_s):.2f} s {way} ours, give or take {error_s:.2f} s"
    if not least:
        seen = f"the host's agrees with ours, as far as can be told: within {error_s:.2f} s"
    mend = "on a Mac: sudo sntp -sS time.apple.com; on Linux: sudo timedatectl set-ntp true"
    return row("clock", verdict, seen, "" if verdict == "ok" else mend)
