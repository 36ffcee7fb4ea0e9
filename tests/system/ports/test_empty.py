"""A port for which the host file declares a model, and on which nothing serves."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually, finished

CHECKS = [("status", "--check"), ("reconcile", "--check"), ("doctor", "-q")]


def planned(studio: Studio, port: int) -> dict[str, Any]:
    rows = studio.mlxops("plan", port).document["result"]["rows"]
    return next(row for row in rows if row["port"] == port)


def test_every_check_and_the_plan_agree_until_the_command_is_run(one: Studio) -> None:
    port = one.ports[1]
    one.declare({port: "tiny/jade"})
    row = one.port_row(port)
    assert (row["state"], row["drift"], row["next"]) == ("free", "empty", f"mlxops apply {port}")
    assert row["reason"] == "the host file declares tiny/jade; nothing serves here"
    for words in CHECKS:
        ended = finished(one.start(*words))
        assert ended.exit == 11 and f"{port} empty" in ended.stderr, ended
        assert row["reason"] in ended.stdout and row["next"] in ended.stdout
    plan = planned(one, port)
    assert (plan["verdict"], plan["drift"]) == ("load", "empty")
    assert plan["reason"] == "declared; nothing serves there"
    one.must(*row["next"].split()[1:])
    assert [one.mlxops(*words).exit for words in CHECKS[:2]] == [0, 0]
    assert planned(one, port)["verdict"] == "same"


def test_cron_reports_it_once_and_its_end_once(one: Studio) -> None:
    port = one.ports[0]
    one.declare({port: "tiny/amber"})
    runs = [finished(one.start("reconcile", "-q", "--check")) for _ in range(2)]
    assert [run.exit for run in runs] == [11, 11]
    first = runs[0].stdout.splitlines()
    assert len(first) == 1 and first[0].startswith(f"empty {port}: the host file declares")
    assert (runs[1].stdout, runs[1].stderr) == ("", "")
    one.must("load", "amber", port)
    over = finished(one.start("reconcile", "-q", "--check"))
    assert (over.exit, over.stdout) == (0, f"resolved: empty {port}\n")


@pytest.mark.slow
def test_an_unload_does_not_change_what_is_declared(near: Studio) -> None:
    port = near.ports[0]
    near.declare({port: "tiny/amber"})
    assert near.mlxops("status", "--check").exit == 0
    ended = finished(near.start("unload", port))
    assert f"the host file declares tiny/amber for it: `mlxops apply {port}`" in ended.stdout
    assert near.port_row(port)["drift"] == "empty"
    near.declare({})
    assert near.port_row(port)["drift"] is None
    near.must("load", "amber", port)
    assert "host file" not in finished(near.start("unload", port)).stdout


@pytest.mark.slow
def test_what_was_loaded_and_crashed_is_lost_and_not_empty(near: Studio) -> None:
    port = near.ports[0]
    near.declare({port: "tiny/amber"})
    os.kill(int(near.port_row(port)["pid"]), signal.SIGKILL)
    eventually(lambda: near.port_row(port)["drift"] == "stale")
    assert near.mlxops("reconcile", "--check").exit == 11
    assert near.port_row(port)["drift"] == "lost"


@pytest.mark.slow
def test_a_port_with_a_load_in_progress_is_not_empty(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    port = one.ports[0]
    one.declare({port: "tiny/amber"})
    fake_runtime.behaves("tiny--amber", load_s=3)
    load = one.start("load", "amber", port)
    eventually(lambda: one.port_row(port)["state"] == "starting")
    assert [one.mlxops(*words).exit for words in CHECKS[:2]] == [0, 0]
    assert finished(load).exit == 0
