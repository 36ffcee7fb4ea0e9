"""apply does what plan says: every port serves what it should, and what serves right is not
touched."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.applying import applied_with_events, apply, plan, verdicts
from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job

AMBER, JADE, TOPAZ = "tiny/amber", "tiny/jade", "tiny/topaz"


def declare(studio: Studio, *models: str) -> None:
    studio.declare(dict(zip(studio.ports, models, strict=False)))


def serving(studio: Studio) -> list[str | None]:
    return [row["entry"] for _, row in sorted(rows(studio).items())]


def test_declared_models_are_loaded_and_then_nothing_is_touched(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    declare(one, AMBER, JADE)
    planned = plan(one)
    assert verdicts(planned) == ["load", "load", "leave"] and planned["changes"] == 2
    assert fake_runtime.journal("started") == []
    done = apply(one)
    assert done["changed"] and done["changes"] == 2
    assert [row["ok"] for row in done["rows"]] == [True] * 3
    assert [row["changed"] for row in done["rows"]] == [True, True, False]
    assert serving(one) == ["amber", "jade", None]
    before, journal = one.registry_path.stat(), fake_runtime.journal()
    again = apply(one)
    assert (again["changes"], again["changed"]) == (0, False)
    assert [row["ok"] for row in again["rows"]] == [True] * 3
    after = one.registry_path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    asked = {record["event"] for record in fake_runtime.journal()[len(journal) :]}
    assert asked <= {"request"}


def test_what_differs_is_swapped_and_the_rest_is_left(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    declare(one, AMBER, JADE)
    apply(one)
    kept = rows(one)[one.ports[0]]["pid"]
    declare(one, AMBER, TOPAZ)
    done = apply(one)
    assert verdicts(done) == ["same", "swap", "leave"]
    assert serving(one) == ["amber", "topaz", None]
    assert rows(one)[one.ports[0]]["pid"] == kept


def test_a_failed_swap_is_rolled_back_and_the_others_are_done(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    fake_runtime.behaves("tiny--jade", die_after_s=0.1, exit_status=3)
    declare(one, JADE, TOPAZ)
    done = apply(one)
    failed, loaded, _ = done["rows"]
    assert (failed["ok"], failed["changed"], failed["error"]["kind"]) == (False, False, "NotReady")
    assert "amber serves again" in failed["error"]["message"]
    assert (loaded["ok"], loaded["changed"]) == (True, True)
    assert serving(one) == ["amber", "topaz", None] and done["changed"]
    fake_runtime.behaves("tiny--jade")
    assert verdicts(apply(one)) == ["swap", "same", "leave"]
    assert serving(one) == ["jade", "topaz", None]


@pytest.mark.slow
def test_pruned_are_unloaded_only_if_asked_to(one: Studio) -> None:
    declare(one, AMBER)
    apply(one)
    ask(one, "load", model="jade", port=one.ports[1])
    declare(one, AMBER)
    assert verdicts(apply(one, to="declared")) == ["same", "leave", "leave"]
    done = apply(one, to="declared", prune=True)
    assert verdicts(done) == ["same", "unload", "leave"]
    assert serving(one) == ["amber", None, None]
    assert one.entry("jade").get("wanted") is None


@pytest.mark.slow
def test_a_port_with_a_job_is_blocked_and_the_others_are_done(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--amber", load_s=600)
    load = one.start("--json", "load", "amber", one.ports[0])
    job(one, one.ports[0], "wait")
    declare(one, JADE, TOPAZ)
    done = apply(one)
    blocked, loaded, _ = done["rows"]
    assert (blocked["verdict"], blocked["kind"], blocked["ok"]) == ("blocked", "Locked", False)
    assert blocked["error"]["kind"] == "Locked" and loaded["ok"]
    load.send_signal(signal.SIGINT)
    assert finished(load).exit == 130


def test_events_name_their_port(one: Studio) -> None:
    declare(one, AMBER, JADE)
    events = applied_with_events(one)
    jobs = {event["job"]: event["port"] for event in events if event["event"] == "job"}
    assert sorted(jobs.values()) == one.ports[:2]
    assert all(str(port) in job for job, port in jobs.items())
    ready = [event["port"] for event in events if event.get("phase") == "wait"]
    assert set(ready) == set(one.ports[:2])
    assert {record["job"] for record in ask(one, "jobs")["jobs"]} == set(jobs)


def test_a_step_that_finds_its_model_there_already_leaves_it(one: Studio) -> None:
    """Someone else loaded it since the plan was made."""
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    pid = rows(one)[port]["pid"]
    done = ask(one, "load", model="amber", port=port, replace=True, by_plan=True)
    assert not done["changed"] and rows(one)[port]["pid"] == pid


def test_a_step_stops_no_other_server_than_the_planned_one(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    error = refusal(one, "unload", port=port, pids=[1])
    assert error.kind == "PortBusy" and rows(one)[port]["state"] == "ready"


@pytest.mark.slow
def test_the_slots_of_entries_do_not_bind_a_plan(one: Studio) -> None:
    """`register --slots` and `init` note the port for which a model was declared at that time."""
    one.edit(lambda registry: registry["models"]["amber"].update(slot=one.ports[1]))
    assert refusal(one, "load", model="amber", port=one.ports[0]).kind == "AssignmentConflict"
    declare(one, AMBER)
    assert apply(one)["rows"][0]["ok"]


@pytest.mark.slow
def test_what_is_wanted_comes_back_after_all_servers_died(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    for name, port in zip(("amber", "jade"), one.ports, strict=False):
        ask(one, "load", model=name, port=port)
    for row in rows(one).values():
        if row["pid"]:
            os.kill(row["pid"], signal.SIGKILL)
    eventually(lambda: {row["pid"] for row in rows(one).values()} == {None})
    for _ in range(3):
        ask(one, "reconcile")
    assert serving(one) == [None, None, None]
    assert verdicts(apply(one)) == ["load", "load", "leave"]
    assert serving(one) == ["amber", "jade", None]
