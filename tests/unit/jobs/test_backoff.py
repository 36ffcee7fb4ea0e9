"""When a server that is gone is started again without a person."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.jobs.backoff import (
    FAILED,
    MAX_STARTS,
    PAUSES_S,
    READY,
    REFUSED,
    WINDOW_S,
    Decision,
    Moment,
    Start,
    age_s,
    decide,
)

NOON = 1_800_000_000.0
DAY_S = 86400.0
OUTAGE = "the machine went down 2 times within an hour while it was starting"


def moment(minutes: float, boot: str = "this", clock_ahead_s: float = 0.0) -> Moment:
    """`minutes` after noon, of a machine that was started a day before."""
    return Moment(at=NOON + 60 * minutes + clock_ahead_s, up_s=DAY_S + 60 * minutes, boot=boot)


def start(minutes: float, outcome: str | None = FAILED, boot: str = "this") -> Start:
    return Start(moment(minutes, boot), outcome, "too slow")


def wait_minutes(*starts: Start, now: float) -> float | None:
    waited = decide(starts, moment(now)).wait_s
    return None if waited is None else waited / 60


def test_what_was_never_started_again_is_started_at_once() -> None:
    assert decide((), moment(0)) == Decision(0.0)


@pytest.mark.parametrize(
    ("before", "pause"),
    [((0,), 1), ((0, 1), 2), ((0, 1, 3), 4), ((0, 1, 3, 7), 8)],
)
def test_the_pauses_grow_with_the_starts_of_the_last_hour(
    before: tuple[float, ...], pause: float
) -> None:
    starts = tuple(map(start, before))
    assert wait_minutes(*starts, now=before[-1]) == pause
    assert wait_minutes(*starts, now=before[-1] + pause / 2) == pause / 2
    assert wait_minutes(*starts, now=before[-1] + pause) == 0


def test_refusals_of_loads_checks_end_at_a_quarter_of_an_hour_and_hold_nothing() -> None:
    refused = tuple(start(minutes, REFUSED) for minutes in range(0, 50, 5))
    assert wait_minutes(*refused, now=45) == 15
    assert wait_minutes(*refused, now=60) == 0


@pytest.mark.parametrize("outcome", [FAILED, READY, None])
def test_five_starts_in_vain_within_an_hour_hold_it_for_good(outcome: str | None) -> None:
    four = tuple(start(minutes, outcome) for minutes in (0, 10, 20, 30))
    assert wait_minutes(*four, now=59) == 0
    five = (*four, start(59, outcome))
    assert wait_minutes(*five, now=59.5) is wait_minutes(*five, now=100_000) is None
    assert wait_minutes(*four, start(60, outcome), now=75) == 0


def test_the_reason_says_whether_it_crashed_or_did_not_start() -> None:
    crashed = [start(minutes, READY) for minutes in range(5)]
    assert decide(crashed, moment(9)).reason == "it crashed 5 times within an hour: last too slow"
    mixed = decide([*crashed[1:], start(5)], moment(9)).reason
    assert mixed.startswith("it was started 5 times within an hour, and failed or crashed each")


def test_two_outages_in_the_middle_of_a_start_within_an_hour_hold_it() -> None:
    down = (start(0, None, "first"), start(40, None, "second"))
    assert decide(down, moment(45)) == Decision(None, OUTAGE)
    assert decide(down, moment(100_000)).held
    assert wait_minutes(start(0, None, "first"), start(70, None, "second"), now=75) == 0
    assert wait_minutes(down[0], now=20) == 0
    # A start whose end was only not recorded, in this boot, is not an outage.
    assert wait_minutes(down[0], start(40, None), now=45) == 0


def test_an_outage_between_two_that_ended_is_not_two() -> None:
    mixed = (start(0, None, "a"), start(20, READY, "b"), start(40, FAILED, "c"))
    assert not decide(mixed, moment(59)).held


@pytest.mark.parametrize("jump_s", [-10 * DAY_S, -600, 600, 10 * DAY_S])
def test_a_clock_that_jumps_changes_nothing(jump_s: float) -> None:
    starts = tuple(map(start, (0, 1, 3)))
    jumped = moment(5, clock_ahead_s=jump_s)
    assert decide(starts, jumped) == decide(starts, moment(5))


def test_times_ahead_of_another_boots_clock_count_as_now() -> None:
    ahead = Start(moment(500, "another"), FAILED)
    assert age_s(ahead.moment, moment(0)) == 0
    assert wait_minutes(ahead, now=0) == 1


gaps = st.lists(st.floats(0, 2 * WINDOW_S), min_size=1, max_size=60)
outcomes = st.sampled_from([FAILED, READY, None])


def simulated(gaps_s: list[float], at: Callable[[int, float], Moment]) -> list[float]:
    """The true times of the starts of a server that never lasts, looked at after each gap."""
    done: list[Start] = []
    times: list[float] = []
    true_s = 0.0
    for number, gap_s in enumerate(gaps_s):
        true_s += gap_s
        now = at(number, true_s)
        if decide(done, now).wait_s == 0:
            done.append(Start(now, FAILED))
            times.append(true_s)
    return times


def require_few(times: list[float]) -> None:
    for time_s in times:
        assert len([t for t in times if time_s <= t < time_s + WINDOW_S]) <= MAX_STARTS


@given(gaps, st.lists(st.floats(-1e8, 1e8), min_size=60, max_size=60))
def test_never_more_than_five_starts_an_hour_whatever_the_clock_does(
    gaps_s: list[float], jumps_s: list[float]
) -> None:
    def at(number: int, true_s: float) -> Moment:
        return Moment(at=NOON + true_s + jumps_s[number], up_s=true_s, boot="this")

    require_few(simulated(gaps_s, at))


@given(gaps, st.lists(st.booleans(), min_size=60, max_size=60))
def test_never_more_than_five_starts_an_hour_however_often_the_machine_is_booted(
    gaps_s: list[float], boots: list[bool]
) -> None:
    def at(number: int, true_s: float) -> Moment:
        return Moment(at=NOON + true_s, up_s=true_s, boot=str(sum(boots[:number])))

    require_few(simulated(gaps_s, at))


@given(st.lists(st.tuples(st.floats(0, WINDOW_S - 1), outcomes), max_size=10))
def test_one_more_start_never_shortens_the_wait(some: list[tuple[float, str | None]]) -> None:
    ordered = [start(s / 60, outcome) for s, outcome in sorted(some, key=lambda one: one[0])]
    now = moment(WINDOW_S / 60 - 1 / 60)
    waits = [decide(ordered[:count], now).wait_s for count in range(len(ordered) + 1)]
    finite = [float("inf") if wait is None else wait for wait in waits]
    assert finite == sorted(finite)
    assert list(PAUSES_S) == sorted(PAUSES_S)


@given(st.lists(st.tuples(st.floats(0, 1e6), outcomes), max_size=12), st.floats(0, 1e6))
def test_what_is_held_stays_held(some: list[tuple[float, str | None]], later: float) -> None:
    ordered = [start(s / 60, outcome) for s, outcome in sorted(some, key=lambda one: one[0])]
    now = max([one.moment.up_s for one in ordered], default=DAY_S) - DAY_S
    if decide(ordered, moment(now / 60)).held:
        assert decide(ordered, moment((now + later) / 60)).held
