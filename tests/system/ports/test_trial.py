"""load --no-keep: a try-out serves like any other model, and what the port wants stays."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.powercut import power_cut, wanted
from tests.support.studio import Studio, eventually, finished


def lost(studio: Studio) -> dict[int, str]:
    rows = studio.mlxops("status").result["ports"]
    return {row["port"]: row["wanted"] for row in rows if row["drift"] == "lost"}


def test_a_try_out_that_dies_is_forgotten_and_what_was_there_before_is_lost(near: Studio) -> None:
    one, two, _ = near.ports
    near.must("load", "jade", one, "--replace", "--no-keep")
    near.must("load", "topaz", two, "--no-keep")
    assert near.ask(one) == "I am tiny/jade" and near.entry("jade")["process"]["keep"] is False
    assert wanted(near) == {"amber": one} and lost(near) == {}
    near.must("set", "jade", "args=--debug")
    assert wanted(near) == {"amber": one}
    near.must("set", "jade", "args=none")
    power_cut(near)
    near.must("reconcile")
    assert near.assignments() == {} and wanted(near) == {"amber": one}
    assert lost(near) == {one: "amber"}


def test_a_load_keeps_what_serves_already_and_a_try_out_of_it_takes_nothing_away(
    near: Studio,
) -> None:
    one, two, _ = near.ports
    near.must("load", "topaz", two, "--no-keep")
    pid = near.port_row(two)["pid"]
    text = finished(near.start("load", "topaz", two)).stdout
    assert "already serves topaz" in text and "from now on it is wanted there" in text
    assert near.port_row(two)["pid"] == pid and wanted(near) == {"amber": one, "topaz": two}
    assert "keep" not in near.entry("topaz")["process"]
    before = near.registry_path.read_bytes()
    again = near.must("load", "topaz", two)
    assert (again["changed"], again["kept"]) == (False, False)
    assert near.must("load", "topaz", two, "--no-keep")["changed"] is False
    assert near.registry_path.read_bytes() == before
    dry = near.must("load", "topaz", two, "--no-keep", "--replace", "--dry-run")
    assert dry["changed"] is False and near.registry_path.read_bytes() == before


@pytest.mark.slow
def test_a_failed_load_puts_a_try_out_back_as_a_try_out(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    one = near.ports[0]
    near.must("load", "jade", one, "--replace", "--no-keep")
    fake_runtime.behaves("tiny--topaz", load_s=20, die_after_s=0.2)
    assert near.mlxops("load", "topaz", one, "--replace").exit == 8
    assert near.ask(one) == "I am tiny/jade" and wanted(near) == {"amber": one}
    assert near.entry("jade")["process"]["keep"] is False
    power_cut(near)
    near.must("reconcile")
    assert wanted(near) == {"amber": one} and lost(near) == {one: "amber"}


@pytest.mark.slow
def test_a_failed_try_out_and_a_cancelled_one_leave_what_is_wanted(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    one, two, _ = near.ports
    fake_runtime.behaves("tiny--topaz", load_s=20, die_after_s=0.2)
    for port, more in ((one, ["--replace"]), (two, [])):
        failed = near.mlxops("load", "topaz", port, "--no-keep", *more)
        assert failed.exit == 8, failed
    assert near.assignments() == wanted(near) == {"amber": one}
    fake_runtime.behaves("tiny--topaz", load_s=60)
    load = near.start("--json", "load", "topaz", one, "--replace", stderr=None)
    eventually(lambda: near.port_row(one)["state"] == "starting")
    load.send_signal(signal.SIGINT)
    assert finished(load, 60).exit == 130
    assert near.assignments() == wanted(near) == {"amber": one}


@pytest.mark.slow
def test_unload_of_a_try_out_leaves_the_port_to_nobody(near: Studio) -> None:
    one, two, _ = near.ports
    near.must("load", "jade", one, "--replace", "--no-keep")
    done = near.must("unload", one)
    assert done["forgot"] == ["amber"] and wanted(near) == {} and lost(near) == {}
    near.must("load", "amber", one)
    power_cut(near)
    near.must("reconcile")
    near.must("load", "amber", two, "--no-keep", "--force")
    assert wanted(near) == {"amber": one}
    near.must("unload", two)
    assert wanted(near) == {"amber": one} and lost(near) == {one: "amber"}


@pytest.mark.slow
def test_a_registry_of_an_earlier_version_wants_what_it_has_assigned(near: Studio) -> None:
    one, two, _ = near.ports
    near.must("load", "jade", two)

    def before(registry: dict[str, Any]) -> None:
        for entry in registry["models"].values():
            entry.pop("wanted", None)

    near.edit(before)
    content = near.registry_path.read_bytes()
    assert {m["name"]: m["wanted"] for m in near.must("list")["models"]} == {
        "amber": one,
        "jade": two,
        "topaz": None,
    }
    near.must("status")
    assert near.registry_path.read_bytes() == content and "wanted" not in json.loads(content)
    near.must("set", "topaz", "revision=main")
    assert wanted(near) == {"amber": one, "jade": two}
    near.edit(before)
    power_cut(near)
    near.must("reconcile")
    assert wanted(near) == {"amber": one, "jade": two} == {v: k for k, v in lost(near).items()}
