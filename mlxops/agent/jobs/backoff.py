"""When a server that is gone is started again without a person: at once, later, or never. Pure."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

# Pauses from one start to the next, by the number of starts within WINDOW_S.
PAUSES_S = (0.0, 60.0, 120.0, 240.0, 480.0, 900.0)
WINDOW_S = 3600.0
# Within WINDOW_S: starts that failed or whose server crashed, and starts during which the machine
# went down.
MAX_STARTS, MAX_OUTAGES = 5, 2

# How a start ended. REFUSED: by load's checks, before a server was started.
READY, FAILED, REFUSED = "ready", "failed", "refused"


class Moment(NamedTuple):
    """`at`: in epoch seconds, of a clock that may jump. `up_s`: in seconds, of one that does not
    during the boot that `boot` names."""

    at: float
    up_s: float
    boot: str


class Start(NamedTuple):
    """A start that no person asked for. `outcome` None: its end is not on record."""

    moment: Moment
    outcome: Optional[str]
    reason: str = ""


class Decision(NamedTuple):
    """`wait_s`: until the next start; None: `held`, which only a person ends. `reason`: why not
    now."""

    wait_s: Optional[float]
    reason: str = ""

    @property
    def held(self) -> bool:
        return self.wait_s is None


class Supervision(NamedTuple):
    """What earlier starts show of a server that is gone. `held`: only a person starts it again."""

    held: bool
    reason: str


NOT_STARTED = Supervision(held=False, reason="")


def age_s(then: Moment, now: Moment) -> float:
    """Seconds from `then` to a later moment, whatever the clock did during this boot; 0 if the
    clock of an earlier one was ahead."""
    if then.boot == now.boot:
        return max(0.0, now.up_s - then.up_s)
    return max(0.0, now.at - then.at)


def decide(starts: Sequence[Start], now: Moment) -> Decision:
    """Decide for a server that is gone. `starts`: of its port and of its model, oldest first, since
    a person loaded either."""
    outages = [s for s in starts if s.outcome is None and s.moment.boot != now.boot]
    if _within_window(outages, MAX_OUTAGES):
        text = "the machine went down %d times within an hour while it was starting"
        return Decision(None, text % MAX_OUTAGES)
    # A server that was ready is gone now: it crashed, or the machine went down.
    failed = [start for start in starts if start.outcome != REFUSED]
    if _within_window(failed, MAX_STARTS):
        return Decision(None, _describe_failures(failed))
    recent = [start for start in starts if age_s(start.moment, now) < WINDOW_S]
    if not recent:
        return Decision(0.0)
    pause = PAUSES_S[min(len(recent), len(PAUSES_S) - 1)]
    wait_s = max(0.0, pause - min(age_s(start.moment, now) for start in recent))
    return Decision(wait_s, "started %s within the last hour" % _times(len(recent)))


def supervise(starts: Sequence[Start], now: Moment) -> Supervision:
    """What to tell of a server that is gone; `starts` as for `decide`."""
    decision = decide(starts, now)
    if decision.held:
        return Supervision(True, "%s; it is not started again by itself" % decision.reason)
    last = starts[-1] if starts else None
    if last is not None and last.outcome in (FAILED, REFUSED) and last.reason:
        return Supervision(False, "its last start failed: %s" % last.reason)
    return NOT_STARTED


def _within_window(starts: Sequence[Start], count: int) -> bool:
    """Whether `count` consecutive starts lie within WINDOW_S."""
    pairs = zip(starts, starts[count - 1 :])
    return any(age_s(first.moment, last.moment) < WINDOW_S for first, last in pairs)


def _describe_failures(failed: Sequence[Start]) -> str:
    crashes = sum(start.outcome == READY for start in failed)
    text = "it was started %d times within an hour, and failed or crashed each time" % MAX_STARTS
    if crashes >= len(failed):
        text = "it crashed %d times within an hour" % MAX_STARTS
    return ": last ".join(filter(None, [text, failed[-1].reason]))


def _times(count: int) -> str:
    return "once" if count == 1 else "%d times" % count
