"""apply stops no server that its plan, or the plan that its user agreed to, did not know."""

from __future__ import annotations

from mlxops.agent.errors import PortBusy
from mlxops.agent.wire.child_agent import NEVER
from mlxops.demo.tinymodel import model_files
from tests.support.applying import Applying, apply, by_port, plan
from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.reboots import Machine
from tests.support.studio import Studio
from tests.support.watching import job

AMBER, JADE, TOPAZ, ONYX = "tiny/amber", "tiny/jade", "tiny/topaz", "tiny/onyx"


def declare(studio: Studio, *models: str) -> None:
    studio.declare(dict(zip(studio.ports, models, strict=False)))


def test_a_server_that_came_after_the_plan_is_not_stopped(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    one.add(ONYX, model_files([" ONYX"]))
    first, second = one.ports[:2]
    fake_runtime.behaves("tiny--jade", load_s=600)
    declare(one, JADE, TOPAZ)
    with Applying(one, jobs=1) as applying:
        applying.handshake(NEVER)
        job(one, first, "wait")
        ask(one, "load", model=ONYX, port=second)
        pid = rows(one)[second]["pid"]
        fake_runtime.behaves("tiny--jade")
        outcome = by_port(applying.outcome())
    assert outcome[first]["ok"]
    error = outcome[second]["error"]
    assert (error["kind"], error["pid"]) == ("PortBusy", pid)
    assert "onyx" in error["message"]
    assert rows(one)[second]["pid"] == pid


def test_a_server_that_took_a_port_which_was_emptied_for_a_cycle_is_not_stopped(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    one.add(ONYX, model_files([" ONYX"]))
    declare(one, AMBER, JADE)
    apply(one)
    declare(one, JADE, AMBER)
    emptied = next(row["port"] for row in plan(one)["rows"] if row["unload_first"])
    (other,) = set(one.ports[:2]) - {emptied}
    coming = {one.ports[0]: "jade", one.ports[1]: "amber"}[other]
    fake_runtime.behaves(f"tiny--{coming}", load_s=600)
    with Applying(one) as applying:
        applying.handshake(NEVER)
        job(one, other, "wait")
        ask(one, "load", model=ONYX, port=emptied)
        fake_runtime.behaves(f"tiny--{coming}")
        outcome = by_port(applying.outcome())
    assert outcome[other]["ok"] and not outcome[emptied]["ok"]
    assert rows(one)[emptied]["entry"] == "onyx"


def test_a_server_that_the_user_was_not_asked_about_is_not_stopped(one: Studio) -> None:
    ask(one, "load", model=TOPAZ, port=one.ports[1])
    pid = rows(one)[one.ports[1]]["pid"]
    declare(one, AMBER, JADE)
    error = refusal(one, "apply", pids=[])
    assert isinstance(error, PortBusy) and error.fields["pids"] == [pid]
    assert "topaz" in error.message
    assert {row["pid"] for row in rows(one).values()} == {None, pid}
    assert all(row["ok"] for row in apply(one, pids=[pid])["rows"])
    assert [row["entry"] for _, row in sorted(rows(one).items())] == ["amber", "jade", None]


def test_a_lost_model_that_is_unloaded_meanwhile_is_not_started(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second = one.ports[:2]
    ask(one, "load", model=AMBER, port=first)
    ask(one, "load", model=JADE, port=second)
    Machine(one).reboot()
    fake_runtime.behaves("tiny--amber", load_s=600)
    with Applying(one, jobs=1) as applying:
        applying.handshake(NEVER)
        job(one, first, "wait")
        ask(one, "unload", port=second)
        fake_runtime.behaves("tiny--amber")
        outcome = by_port(applying.outcome())
    assert outcome[first]["ok"] and outcome[second]["verdict"] == "load"
    error = outcome[second]["error"]
    assert error["kind"] == "AssignmentConflict" and "no longer wanted" in error["message"]
    assert rows(one)[second]["state"] == "free"
