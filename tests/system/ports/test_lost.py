"""A crash or a reboot forgets nothing: what served is shown as lost, with the command that brings
it back."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.powercut import power_cut, quiet, wanted
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job

pytestmark = pytest.mark.usefixtures("jade_too")


def shown(studio: Studio) -> dict[int, tuple[str, str | None, str | None]]:
    rows = {row["port"]: row for row in studio.mlxops("status").result["ports"]}
    return {
        port: (row["state"], row["drift"], row["wanted"])
        for port, row in rows.items()
        if row["drift"]
    }


def drift(studio: Studio, verb: str = "status") -> dict[str, dict[str, Any]]:
    """Entry -> its row of drift."""
    return {one["entry"]: one for one in studio.mlxops(verb).result["drift"]}


@pytest.mark.slow
def test_after_a_power_cut_and_cron_everything_is_there_again_by_the_commands_shown(
    near: Studio,
) -> None:
    one, two, _ = near.ports
    power_cut(near)
    stale = drift(near)
    assert [row["drift"] for row in stale.values()] == ["stale", "stale"]
    assert stale["amber"]["next"] == f"mlxops load amber {one}"

    first = quiet(near)
    assert first.exit == 0 and len(first.stdout.splitlines()) == 2
    assert f"mlxops load amber {one}" in first.stdout and f"mlxops load jade {two}" in first.stdout
    again = quiet(near)
    assert (again.exit, again.stdout, again.stderr) == (0, "", "")

    assert near.assignments() == {} and wanted(near) == {"amber": one, "jade": two}
    assert shown(near) == {one: ("free", "lost", "amber"), two: ("free", "lost", "jade")}
    lost = drift(near)
    assert "; crashed (log: " in lost["amber"]["reason"]
    for row in lost.values():
        near.must(*row["next"].split()[1:])
    assert near.assignments() == {"amber": one, "jade": two} and shown(near) == {}
    assert near.ask(two) == "I am tiny/jade"
    over = quiet(near)
    assert over.stdout.splitlines() == [
        f"resolved: lost {one} amber",
        f"resolved: lost {two} jade",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("status", "--check"), ("reconcile", "--check"), ("reconcile", "-q", "--check")]
)
def test_a_check_ends_with_11_and_names_the_port(near: Studio, words: tuple[str, ...]) -> None:
    assert near.mlxops(*words).exit == 0
    power_cut(near, near.ports[0])
    near.must("reconcile")
    ended = finished(near.start(*words))
    assert ended.exit == 11 and f"{near.ports[0]} lost" in ended.stderr, ended
    assert f"next: mlxops apply {near.ports[0]}" in ended.stdout
    assert near.mlxops(*words).exit == 11


def test_list_and_show_have_it(near: Studio) -> None:
    port = near.ports[0]
    power_cut(near, port)
    near.must("reconcile")
    models = {model["name"]: model for model in near.must("list")["models"]}
    assert {name: (m["wanted"], m["lost"]) for name, m in models.items()} == {
        "amber": (port, True),
        "jade": (near.ports[1], False),
        "topaz": (None, False),
    }
    assert f"{port} lost" in finished(near.start("list")).stdout
    for word in ("amber", port):
        found = near.must("show", word)
        assert found["entry"]["name"] == "amber" and found["entry"]["wanted"] == port
        assert (found["port"]["drift"], found["port"]["next"]) == (
            "lost",
            f"mlxops apply {port}",
        )


@pytest.mark.slow
def test_the_command_is_one_that_works_where_the_slot_is_another_port(near: Studio) -> None:
    one, _, three = near.ports
    near.must("unload", one)
    near.must("set", "amber", f"slot={three}")
    near.must("load", "amber", one, "--force")
    power_cut(near, one)
    near.must("reconcile")
    step = drift(near)["amber"]["next"]
    assert step == f"mlxops apply {one}"
    near.must(*step.split()[1:])
    assert near.assignments()["amber"] == one


def test_unload_of_a_lost_port_forgets_it_and_says_so(near: Studio) -> None:
    one, two, _ = near.ports
    power_cut(near)
    near.must("reconcile")
    planned = near.must("unload", one, "--dry-run")
    assert [(a["action"], a["entry"]) for a in planned["actions"]] == [
        ("forget", "amber")
    ] and wanted(near)
    done = near.must("unload", one)
    assert (done["state"], done["changed"], done["forgot"]) == ("free", True, ["amber"])
    assert wanted(near) == {"jade": two} and set(shown(near)) == {two}
    assert "jade was forgotten" in finished(near.start("unload", two)).stdout
    assert wanted(near) == {} and near.must("unload", two)["changed"] is False


@pytest.mark.slow
def test_unload_forgets_what_it_stops(near: Studio) -> None:
    near.must("unload", near.ports[0])
    assert wanted(near) == {"jade": near.ports[1]} and shown(near) == {}


def test_remove_takes_it_away(near: Studio) -> None:
    power_cut(near, near.ports[0])
    near.must("reconcile")
    near.edit(lambda registry: registry["models"].pop("amber"))
    assert shown(near) == {}


@pytest.mark.slow
def test_unload_all_forgets_them_all_and_its_dry_run_says_so(near: Studio) -> None:
    one, two, _ = near.ports
    power_cut(near, one)
    near.must("reconcile")
    planned = {row["port"]: row["actions"] for row in near.must("unload-all", "--dry-run")["ports"]}
    assert [(a["action"], a["entry"]) for a in planned[one]] == [("forget", "amber")]
    assert [(a["action"], a["entry"]) for a in planned[two]] == [
        ("stop", "jade"),
        ("clear", "jade"),
    ]
    assert wanted(near) == {"amber": one, "jade": two}
    near.must("unload-all")
    assert wanted(near) == {} == near.assignments() and shown(near) == {}


@pytest.mark.slow
def test_another_model_on_the_port_takes_it_away_and_one_that_fails_does_not(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    one, two, _ = near.ports
    power_cut(near, one)
    near.must("reconcile")
    fake_runtime.behaves("tiny--topaz", load_s=20, die_after_s=0.2)
    assert near.mlxops("load", "topaz", one).exit == 8
    assert wanted(near) == {"amber": one, "jade": two} and shown(near) == {
        one: ("free", "lost", "amber")
    }
    fake_runtime.behaves("tiny--topaz")
    near.must("load", "topaz", one)
    assert wanted(near) == {"topaz": one, "jade": two} and shown(near) == {}


@pytest.mark.slow
def test_without_a_rollback_the_one_before_is_lost(near: Studio, fake_runtime: FakeRuntime) -> None:
    one = near.ports[0]
    fake_runtime.behaves("tiny--topaz", load_s=20, die_after_s=0.2)
    assert near.mlxops("load", "topaz", one, "--replace", "--no-rollback").exit == 8
    assert shown(near) == {one: ("free", "lost", "amber")}


@pytest.mark.slow
def test_a_swap_that_was_killed_shows_what_served_before_it(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    one = near.ports[0]
    fake_runtime.behaves("tiny--topaz", load_s=4)
    load = near.start("load", "topaz", one, "--replace")
    os.kill(job(near, one, "wait")["pid"], signal.SIGKILL)
    finished(load)
    assert near.assignments()["topaz"] == one and wanted(near)["amber"] == one
    pid = near.port_row(one)["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: near.port_row(one)["drift"] == "stale")
    assert "amber served here before it" in near.port_row(one)["reason"]
    near.must("reconcile")
    row = near.port_row(one)
    assert (row["drift"], row["wanted"], row["next"]) == (
        "lost",
        "amber",
        f"mlxops apply {one}",
    )


@pytest.mark.slow
def test_a_registry_of_before_is_remembered_and_so_is_an_adopted_server(near: Studio) -> None:
    one, two, _ = near.ports

    def forget(registry: dict[str, Any]) -> None:
        for entry in registry["models"].values():
            entry.pop("wanted", None)
        registry["models"]["jade"].update(port=None)
        registry["models"]["jade"].pop("process")

    near.edit(forget)
    near.must("init")
    assert near.assignments() == wanted(near) == {"amber": one, "jade": two}
    power_cut(near)
    near.must("reconcile")
    assert wanted(near) == {"amber": one, "jade": two}


@pytest.mark.slow
def test_what_serves_elsewhere_or_whose_port_serves_another_is_not_lost(near: Studio) -> None:
    one, two, three = near.ports
    near.edit(lambda registry: registry["models"]["topaz"].update(wanted=one))
    assert shown(near) == {one: ("ready", "duplicate", "topaz")}
    near.edit(lambda registry: registry["models"]["amber"].update(wanted=three))
    assert shown(near) == {}
    near.edit(lambda registry: registry["models"]["topaz"].update(wanted=str(three)))
    assert shown(near) == {three: ("free", "duplicate", "topaz")}
    near.must("load", "topaz", three)
    assert wanted(near) == {"amber": one, "topaz": three, "jade": two} and shown(near) == {}


@pytest.mark.slow
def test_cron_tells_once_of_a_broken_registry_and_once_that_it_is_whole(near: Studio) -> None:
    good = near.registry_path.read_text()
    near.registry_path.write_text(good[:-20])
    first, again = quiet(near), quiet(near)
    near.registry_path.write_text(good)
    assert first.exit == again.exit == 5
    assert first.stderr and (first.stdout, again.stdout, again.stderr) == ("", "", "")
    over = quiet(near)
    assert over.exit == 0 and over.stdout.startswith("resolved: the registry is not valid JSON"), (
        over
    )
    assert quiet(near).stdout == ""


@pytest.mark.slow
def test_cron_tells_once_of_a_host_that_does_not_answer(near: Studio) -> None:
    near.describe(python="/nonesuch/python3")
    first, again = quiet(near), quiet(near)
    near.describe()
    assert first.exit == again.exit == 3
    assert "/nonesuch/python3" in first.stderr and (again.stdout, again.stderr) == ("", "")
    assert quiet(near).stdout.startswith("resolved: ")
