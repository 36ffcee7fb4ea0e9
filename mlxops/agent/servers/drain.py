"""Let a server finish its requests if the signal to stop would cut them off."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ..clock import Deadline, pauses
from ..procs import Procs, Unobservable

POLL_INTERVAL_S = 0.02
REPORT_INTERVAL_S = 1.0


def connections(procs: Procs, port: int) -> Optional[int]:
    """Open connections to the port; None if they cannot be observed."""
    try:
        return procs.connections(port)
    except Unobservable:
        return None


def drain(
    procs: Procs,
    port: int,
    limit_s: float,
    check: Callable[[], None],
    report: Callable[[str], None],
) -> None:
    """Return as soon as the port has no open connection, or after `limit_s`.

    New requests may arrive meanwhile, so a port that is always busy takes the whole time. `check`
    may raise, to cancel."""
    deadline, spoken = Deadline(limit_s), 0.0
    for pause in pauses(POLL_INTERVAL_S, procs.max_poll_interval_s):
        check()
        if deadline.passed:
            return
        busy = connections(procs, port)
        if not busy:
            return
        if time.monotonic() - spoken > REPORT_INTERVAL_S:
            spoken = time.monotonic()
            report("waiting for %s (at most %.0f s)" % (in_flight(busy), limit_s))
        time.sleep(min(pause, deadline.left()))


def in_flight(count: int) -> str:
    return "%d request%s in flight" % (count, "" if count == 1 else "s")
