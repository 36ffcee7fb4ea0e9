"""A load that was killed leaves an empty port: status names the load, who started it, when, its
phase, and the next command."""

from __future__ import annotations

import os
import shlex
import signal
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.stopping import stopping
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job


@pytest.fixture
def cut(known: Studio, fake_runtime: FakeRuntime) -> dict[str, Any]:
    """The lock's text about a load of amber whose agent was killed while it stopped jade."""
    with stopping(known, fake_runtime) as swap:
        swap.killed()
    return swap.held


def sentence(known: Studio, cut: dict[str, Any]) -> str:
    again = f"mlxops load amber {known.ports[0]} --replace"
    where = "{why} (started by {who} from {from} at {since})".format_map(cut)
    return f"{where} was killed while in stop; retry: {again}"


@pytest.mark.slow
def test_status_and_reconcile_name_it_until_the_port_is_loaded_again(
    known: Studio, cut: dict[str, Any]
) -> None:
    port, said = known.ports[0], sentence(known, cut)
    assert known.port_row(port)["reason"].endswith(said)
    shown = " ".join(finished(known.start("status")).stdout.split())
    begin, _, end = said.partition(f" at {cut['since']}")
    assert begin in shown and f" ago{end}" in shown
    cleared = known.must("reconcile")["actions"]
    assert [(step["entry"], step["applied"]) for step in cleared] == [("jade", True)]
    assert cleared[0]["reason"].endswith(said)
    row = known.port_row(port)
    assert (row["state"], row["drift"], row["entry"], row["wanted"]) == (
        "free",
        "lost",
        None,
        "jade",
    )
    assert row["reason"].endswith(said)
    again = known.must("reconcile")
    assert (again["actions"], again["broken"]) == ([], [])
    assert [(found["drift"], found["entry"]) for found in again["drift"]] == [("lost", "jade")]
    assert known.mlxops("load", "amber", port, "--timeout", 0.01).exit == 8
    assert known.port_row(port)["reason"].endswith(said)
    known.must(*shlex.split(said.rpartition(": mlxops ")[2]))
    assert known.port_row(port)["reason"] == "" and known.ask(port) == "I am tiny/amber"


@pytest.mark.slow
def test_an_unload_of_the_empty_port_is_an_answer_too(known: Studio, cut: dict[str, Any]) -> None:
    known.must("reconcile")
    done = known.must("unload", known.ports[0])
    assert (done["changed"], done["pid"], done["forgot"]) == (True, None, ["jade"])
    row = known.port_row(known.ports[0])
    assert (row["state"], row["drift"], row["reason"]) == ("free", None, "")
    assert known.must("unload", known.ports[0])["changed"] is False


@pytest.mark.slow
def test_jobs_says_how_far_it_came(known: Studio, cut: dict[str, Any]) -> None:
    died = known.must("jobs")["jobs"][0]
    assert (died["job"], died["state"], died["phase"]) == (cut["job"], "died", "stop")
    shown = finished(known.start("jobs", "--columns", "state,phase")).stdout
    assert shown.splitlines()[1].split() == ["killed", "stop"]
    error = known.mlxops("follow", cut["job"]).error
    assert error["message"] == f"job {cut['job']} was killed in phase stop" and error[
        "hint"
    ].startswith("mlxops load amber")


def test_a_load_killed_when_its_server_was_up_already_left_nothing_to_do(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=1)
    load = known.start("--json", "load", "amber", port)
    os.kill(job(known, port, "wait")["pid"], signal.SIGKILL)
    load.communicate()
    eventually(lambda: known.port_row(port)["state"] == "ready")
    assert known.port_row(port)["reason"] == ""
