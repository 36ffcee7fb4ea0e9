"""An apply that is cancelled, left or killed leaves ports that are whole, and the next one goes
on."""

from __future__ import annotations

import os
import signal

import pytest

from mlxops.agent.wire.child_agent import NEVER
from tests.support.applying import Applying, apply, by_port, verdicts
from tests.support.asking import ask, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually
from tests.support.watching import job

AMBER, JADE, TOPAZ = "tiny/amber", "tiny/jade", "tiny/topaz"


def serving(studio: Studio) -> list[str | None]:
    return [row["entry"] for _, row in sorted(rows(studio).items())]


@pytest.fixture
def swapping(one: Studio, fake_runtime: FakeRuntime) -> Studio:
    """The first port is to change from amber to jade, which takes long; the second one is to get
    topaz after it."""
    ask(one, "load", model="amber", port=one.ports[0])
    fake_runtime.behaves("tiny--jade", load_s=600)
    one.declare(dict(zip(one.ports, (JADE, TOPAZ), strict=False)))
    return one


def test_a_cancel_rolls_back_what_runs_and_begins_nothing(
    swapping: Studio, fake_runtime: FakeRuntime
) -> None:
    with Applying(swapping, jobs=1) as applying:
        applying.handshake(NEVER)
        job(swapping, swapping.ports[0], "wait")
        applying.cancel()
        outcome = applying.outcome()
    first, second = (by_port(outcome)[port] for port in swapping.ports[:2])
    assert first["error"]["kind"] == second["error"]["kind"] == "Interrupted"
    assert "amber serves again" in first["error"]["message"]
    assert second["error"]["message"] == "not begun"
    assert str(swapping.ports[1]) in outcome["interrupted"]
    assert serving(swapping) == ["amber", None, None]
    assert not any("topaz" in str(record) for record in fake_runtime.journal("started"))


@pytest.mark.slow
def test_a_client_that_is_lost_changes_nothing(swapping: Studio, fake_runtime: FakeRuntime) -> None:
    fake_runtime.behaves("tiny--jade", load_s=3)
    with Applying(swapping, jobs=1) as applying:
        applying.handshake(NEVER)
        job(swapping, swapping.ports[0], "wait")
        applying.leave()
    eventually(lambda: serving(swapping) == ["jade", "topaz", None])
    eventually(lambda: not swapping.locked())
    assert verdicts(apply(swapping)) == ["same", "same", "leave"]


@pytest.mark.slow
def test_one_cancelled_job_ends_only_its_port(swapping: Studio) -> None:
    with Applying(swapping, jobs=1) as applying:
        applying.handshake(NEVER)
        held = job(swapping, swapping.ports[0], "wait")
        ask(swapping, "cancel", job=held["job"])
        outcome = applying.outcome()
    first, second = (by_port(outcome)[port] for port in swapping.ports[:2])
    assert first["error"]["kind"] == "Interrupted" and second["ok"]
    assert "interrupted" not in outcome
    assert serving(swapping) == ["amber", "topaz", None]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["prepare", "stop", "wait"])
def test_a_killed_apply_leaves_whole_ports_and_the_next_one_goes_on(
    phase: str, swapping: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--jade", load_s=1)
    fake_runtime.behaves("tiny--amber", linger_s=1)
    with Applying(swapping, jobs=1) as applying:
        applying.handshake(NEVER)
        job(swapping, swapping.ports[0], phase)
        applying.kill()
    # The load of the first port goes on without it.
    eventually(lambda: serving(swapping)[0] == "jade" and not swapping.locked())
    assert serving(swapping) == ["jade", None, None]
    assert verdicts(apply(swapping)) == ["same", "load", "leave"]
    assert serving(swapping) == ["jade", "topaz", None]


@pytest.mark.slow
def test_a_step_whose_agent_is_killed_fails_and_the_others_are_done(swapping: Studio) -> None:
    with Applying(swapping, jobs=1) as applying:
        applying.handshake(NEVER)
        held = job(swapping, swapping.ports[0], "wait")
        os.kill(int(held["job"].rsplit("-", 1)[1]), signal.SIGKILL)
        outcome = applying.outcome()
    first, second = (by_port(outcome)[port] for port in swapping.ports[:2])
    assert first["error"]["kind"] == "LinkLost" and second["ok"]
