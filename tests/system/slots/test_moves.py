"""Models that change ports: each is served once at any moment, and a failure or a cancel in the
middle leaves every port as it was."""

from __future__ import annotations

import pytest

from mlxops.agent.wire.child_agent import NEVER
from tests.support.applying import Applying, apply, by_port, plan, verdicts
from tests.support.asking import ask, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually
from tests.support.watching import RegistryWatch, job

AMBER, JADE, TOPAZ = "tiny/amber", "tiny/jade", "tiny/topaz"


def serving(studio: Studio) -> list[str | None]:
    return [row["entry"] for _, row in sorted(rows(studio).items())]


def declare(studio: Studio, *models: str) -> None:
    studio.declare(dict(zip(studio.ports, models, strict=False)))


@pytest.fixture
def three(one: Studio) -> Studio:
    """amber, jade and topaz serve on the three ports, as declared."""
    declare(one, AMBER, JADE, TOPAZ)
    apply(one)
    return one


def test_two_ports_exchange_their_models(three: Studio, fake_runtime: FakeRuntime) -> None:
    first, second, third = three.ports
    declare(three, JADE, AMBER, TOPAZ)
    planned = plan(three)
    assert verdicts(planned) == ["swap", "swap", "same"]
    assert [row["unload_first"] for row in planned["rows"]].count(True) == 1
    kept, started = rows(three)[third]["pid"], len(fake_runtime.journal("started"))
    with RegistryWatch(three) as watch:
        done = apply(three)
    assert [row["ok"] for row in done["rows"]] == [True] * 3 and not watch.faults
    assert serving(three) == ["jade", "amber", "topaz"]
    assert rows(three)[third]["pid"] == kept
    assert len(fake_runtime.journal("started")) == started + 2
    assert three.ask(first) == "I am tiny/jade" and three.ask(second) == "I am tiny/amber"
    assert [three.entry(name)["wanted"] for name in ("jade", "amber", "topaz")] == three.ports
    assert apply(three)["changed"] is False


@pytest.mark.slow
def test_a_model_moves_to_a_free_port_and_another_one_follows(one: Studio) -> None:
    declare(one, AMBER)
    apply(one)
    declare(one, JADE, AMBER)
    done = apply(one)
    assert verdicts(done) == ["swap", "load", "leave"] and done["order"]
    assert [row["ok"] for row in done["rows"]] == [True] * 3
    assert serving(one) == ["jade", "amber", None]


@pytest.fixture
def exchanging(three: Studio, fake_runtime: FakeRuntime) -> Studio:
    """The first two ports are to exchange their models; the first one, which uses less, is emptied
    for that."""
    apply(three, ports=three.ports[2:])
    fake_runtime.behaves("tiny--jade", child_mb=60)
    ask(three, "load", model="jade", port=three.ports[1], replace=True)
    declare(three, JADE, AMBER, TOPAZ)
    assert [row["unload_first"] for row in plan(three)["rows"]] == [True, False, False]
    return three


def wanted(studio: Studio) -> list[int | None]:
    return [studio.entry(name).get("wanted") for name in ("amber", "jade", "topaz")]


@pytest.mark.slow
def test_a_cycle_that_fails_ends_as_it_began(exchanging: Studio, fake_runtime: FakeRuntime) -> None:
    first, second, _ = exchanging.ports
    fake_runtime.behaves(f"--port {second} ", die_after_s=0.1, exit_status=3)
    # Only amber dies there; the server that comes back does not.
    fake_runtime.behaves("models--tiny--jade", child_mb=60, die_after_s=None)
    done = by_port(apply(exchanging))
    assert done[second]["error"]["kind"] == "NotReady"
    assert "jade serves again" in done[second]["error"]["message"]
    assert done[first]["error"]["waited_for"] == [second]
    assert "amber serves again" in done[first]["error"]["message"]
    assert serving(exchanging) == ["amber", "jade", "topaz"]
    assert wanted(exchanging) == exchanging.ports
    fake_runtime.behaves(f"--port {second} ")
    assert all(row["ok"] for row in apply(exchanging)["rows"])
    assert serving(exchanging) == ["jade", "amber", "topaz"]


@pytest.mark.slow
def test_a_cycle_that_is_cancelled_ends_as_it_began(
    exchanging: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second, _ = exchanging.ports
    fake_runtime.behaves("tiny--amber", load_s=8)
    with Applying(exchanging) as applying:
        applying.handshake(NEVER)
        job(exchanging, second, "wait")
        fake_runtime.behaves("tiny--amber")
        applying.cancel()
        outcome = applying.outcome()
    done = by_port(outcome)
    assert "jade serves again" in done[second]["error"]["message"]
    assert done[first]["error"]["message"] == "not begun; amber serves again"
    assert serving(exchanging) == ["amber", "jade", "topaz"]
    assert wanted(exchanging) == exchanging.ports


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["unload", "load"])
def test_a_cycle_whose_conductor_is_killed_is_completed_by_the_next(
    verb: str, exchanging: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second, _ = exchanging.ports
    fake_runtime.behaves("tiny--amber", load_s=2)
    with Applying(exchanging) as applying:
        applying.handshake(NEVER)
        job(exchanging, first if verb == "unload" else second, "stop")
        applying.kill()
    eventually(lambda: not exchanging.locked())
    assert all(row["ok"] for row in apply(exchanging)["rows"])
    assert serving(exchanging) == ["jade", "amber", "topaz"]
