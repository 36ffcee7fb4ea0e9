"""Jobs that continue without their client are listed, watched to their end, and cancelled."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job


def abandoned(studio: Studio, fake_runtime: FakeRuntime, load_s: float) -> str:
    """A swap from amber to jade, waiting, whose client was killed; the job's id."""
    port = studio.ports[0]
    studio.must("load", "amber", port)
    fake_runtime.behaves("tiny--jade", load_s=load_s)
    load = studio.start("--json", "load", "jade", port, "--replace")
    held = job(studio, port, "wait")
    load.kill()
    load.communicate()
    return str(held["job"])


def test_an_abandoned_job_is_followed_to_its_end(known: Studio, fake_runtime: FakeRuntime) -> None:
    running = abandoned(known, fake_runtime, load_s=600)
    row = known.must("jobs")["jobs"][0]
    assert (row["job"], row["state"], row["phase"], row["port"]) == (
        running,
        "running",
        "wait",
        known.ports[0],
    )
    locks = {lock["port"]: lock for lock in known.must("lock")["locks"]}
    assert (
        locks[known.ports[0]]["job"] == running
        and not locks[None]["held"]
        and not locks[known.ports[1]]["held"]
    )
    follower = known.start("--json", "follow")
    assert follower.stderr is not None
    told = []
    for line in follower.stderr:
        told.append(line)
        if "waiting for the server" in line:
            fake_runtime.behaves("tiny--jade")
            break
    followed = finished(follower)
    assert followed.result["state"] == "done"
    assert "jade: stopping amber\n" in "".join(told) and "jade: ready\n" in followed.stderr
    assert known.must("jobs")["jobs"][0]["state"] == "done"
    assert known.ask(known.ports[0]) == "I am tiny/jade"
    assert not any(lock["held"] for lock in known.must("lock")["locks"])


@pytest.mark.slow
def test_a_cancelled_job_has_undone_its_work_when_cancel_returns(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    running = abandoned(known, fake_runtime, load_s=30)
    cancelled = known.must("cancel", known.ports[0])
    assert (cancelled["job"], cancelled["state"]) == (
        running,
        "cancelled",
    ) and "cancelled" in cancelled["message"]
    assert known.assignments() == {"amber": known.ports[0]}
    assert known.ask(known.ports[0]) == "I am tiny/amber"
    again = known.mlxops("follow", running)
    assert (again.exit, again.error["kind"]) == (130, "Interrupted")


@pytest.mark.slow
def test_whoever_follows_leaves_without_harm(known: Studio, fake_runtime: FakeRuntime) -> None:
    abandoned(known, fake_runtime, load_s=600)
    follower = known.start("follow")
    assert follower.stderr is not None
    assert any("waiting for the server" in line for line in iter(follower.stderr.readline, ""))
    follower.send_signal(signal.SIGINT)
    assert finished(follower).exit == 130
    fake_runtime.behaves("tiny--jade")
    assert eventually(lambda: known.port_row(known.ports[0])["state"] == "ready")
    assert known.ask(known.ports[0]) == "I am tiny/jade"


@pytest.mark.slow
def test_a_job_whose_agent_was_killed_is_told_as_dead(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    running = abandoned(known, fake_runtime, load_s=3)
    os.kill(int(running.rsplit("-", 1)[1]), signal.SIGKILL)
    eventually(lambda: known.must("jobs")["jobs"][0]["state"] == "died")
    followed = known.mlxops("follow", running)
    assert followed.exit == 1 and "was killed in" in followed.error["message"]
    refused = known.mlxops("cancel", running)
    assert refused.exit == 1 and "has already finished" in refused.error["message"]


def test_of_a_job_that_is_over_only_its_end_is_shown(known: Studio) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    (job,) = known.must("jobs")["jobs"]
    followed = finished(known.start("follow", job["job"]))
    assert (followed.exit, followed.stderr) == (0, "")
    assert followed.stdout.startswith(f"This job is over: load amber {port} ended ")
    assert " ago, after " in followed.stdout
    assert known.must("follow", job["short"])["over"]
    for verb in ("follow", "cancel"):
        idle = finished(known.start(verb))
        last = f"no job is running on studio; the last one (load amber {port}) ended "
        assert idle.exit == 1 and last in " ".join(idle.stderr.split())


@pytest.mark.slow
def test_a_failed_job_that_is_over_keeps_its_exit_status(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves(load_s=5, die_after_s=0.2)
    port = known.ports[0]
    assert known.mlxops("load", "amber", port).exit == 8
    followed = finished(known.start("follow", known.must("jobs")["jobs"][0]["job"]))
    assert followed.exit == 8 and f"This job is over: load amber {port} failed " in followed.stdout


def test_a_job_is_meant_by_a_part_of_its_id(known: Studio) -> None:
    for name, port in zip(("amber", "jade"), known.ports, strict=False):
        known.must("load", name, port)
    rows = known.must("jobs")["jobs"]
    last, day = rows[0], rows[0]["job"][:8]
    assert last["job"].endswith(f"-{last['short']}")
    assert last["short"].startswith(f"{known.ports[1]}-")
    assert known.must("follow", last["short"])["job"] == last["job"]
    assert [row["job"] for row in known.must("jobs", last["short"])["jobs"]] == [last["job"]]
    unclear = known.mlxops("follow", day).error
    assert unclear["kind"] == "Usage" and unclear["jobs"] == [row["job"] for row in rows]
    assert unclear["message"] == f"{day} means 2 jobs: {last['job']}, {rows[1]['job']}"


def test_no_job_and_no_such_job(known: Studio) -> None:
    assert known.must("jobs") == {"jobs": []}
    assert known.must("jobs", known.ports[1]) == {"jobs": []}
    typo = known.mlxops("jobs", "ambr")
    assert typo.exit == 2 and "'ambr'" in typo.error["message"]
    for words in (["follow"], ["cancel"], ["follow", "nonsense"], ["cancel", known.ports[1]]):
        refused = known.mlxops(*words)
        assert refused.exit == 1 and refused.error["hint"] == "mlxops jobs"
