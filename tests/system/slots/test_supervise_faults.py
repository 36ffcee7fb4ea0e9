"""Starts without a person when things go wrong: two crons, a machine that goes down, no journal."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.procs import Procs, local_procs
from mlxops.agent.registry.store import Store
from mlxops.agent.site import Site
from mlxops.agent.slots import supervise
from mlxops.agent.slots.supervise import Restart
from mlxops.agent.wire.client import ClientLink
from mlxops.hosts import files as hosts
from tests.support.asking import refusal
from tests.support.fakeruntime import FakeRuntime
from tests.support.intent import kill
from tests.support.reboots import Machine
from tests.support.strangers import Strangers
from tests.support.studio import Studio, eventually, finished
from tests.support.supervising import (
    cron,
    journal,
    journal_path,
    let_pass,
    restarts,
    started,
)
from tests.support.survivors import living
from tests.support.watching import job

HELD = "the machine went down 2 times within an hour while it was starting"


def test_two_crons_at_once_start_one_server(
    near: Studio, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    port = near.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=1)
    kill(near)
    near.must("reconcile")
    homes = [str(tmp_path / f"home-{number}") for number in range(3)]
    crons = []
    for home in homes:
        near.env["HOME"] = home
        crons.append(near.start("--json", "reconcile", "--restart"))
    answers = [finished(one) for one in crons]
    verdicts = [row["verdict"] for one in answers for row in one.result["restarts"]]
    assert verdicts.count("ready") == 1 and {*verdicts} <= {"ready", "wait"}
    assert started(fake_runtime, "amber") == 1 + 1 and len(journal(near)) == 1
    assert near.assignments() == {"amber": port}


def go_down(studio: Studio, port: int, machine: Machine, runtime: FakeRuntime) -> None:
    """Go down in the middle of a start: all processes end at once, and the boot is another one."""
    before = started(runtime, "amber")
    run = studio.start("reconcile", "-q", "--restart")
    load = job(studio, port, "wait")["pid"]
    eventually(lambda: started(runtime, "amber") == before + 1)
    pids = [journal(studio)[-1]["pid"], load]
    # The agent that would record the end goes first.
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not {*pids} & living(studio.folder).keys())
    finished(run)
    machine.reboot()


@pytest.mark.slow
def test_a_model_that_takes_the_machine_down_twice_is_left_to_a_person(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    near.must("load", "jade", near.ports[1])
    machine = Machine(near)
    fake_runtime.behaves("tiny--amber", load_s=60)
    kill(near, port)
    go_down(near, port, machine, fake_runtime)
    assert restarts(near)[port][0] == "wait"
    let_pass(near, 1)
    go_down(near, port, machine, fake_runtime)
    assert [line["outcome"] for line in journal(near) if line["entry"] == "amber"] == [None] * 2
    let_pass(near, 1)
    told = restarts(near)
    assert told[port] == ("held", HELD) and told[near.ports[1]][0] == "ready"
    let_pass(near, 24 * 60)
    machine.reboot()
    held = cron(near)
    assert f"held {port} amber: " in held.stdout and HELD in held.stdout
    assert started(fake_runtime, "amber") == 1 + 2
    fake_runtime.behaves("tiny--amber", load_s=0.1)
    near.must("load", "amber", port)
    assert near.ask(port) == "I am tiny/amber"
    assert "amber" not in {line["entry"] for line in journal(near)}
    kill(near, port)
    assert restarts(near)[port][0] == "ready"


@pytest.mark.slow
def test_a_start_that_outlives_cron_is_let_be_and_counted_later(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=8)
    kill(near)
    run = near.start("reconcile", "-q", "--restart")
    job(near, port, "wait")
    agent = journal(near)[0]["pid"]
    run.send_signal(signal.SIGKILL)
    finished(run)
    eventually(lambda: agent not in living(near.folder))
    # The port is locked by the load that goes on.
    assert restarts(near) == {} and journal(near)[0]["outcome"] is None
    eventually(lambda: near.port_row(port)["state"] == "ready")
    assert started(fake_runtime, "amber") == 1 + 1
    fake_runtime.behaves("tiny--amber", load_s=0.1)
    eventually(lambda: not near.locked())
    kill(near)
    assert restarts(near)[port] == ("wait", "started once within the last hour")
    assert [line["outcome"] for line in journal(near)] == ["ready"]


@pytest.mark.slow
def test_a_load_that_was_killed_counts_as_failed(near: Studio, fake_runtime: FakeRuntime) -> None:
    port = near.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=60)
    kill(near)
    run = near.start("reconcile", "-q", "--restart")
    load = job(near, port, "wait")["pid"]
    os.kill(journal(near)[0]["pid"], signal.SIGKILL)
    os.kill(load, signal.SIGKILL)
    finished(run)
    kill(near)
    assert restarts(near)[port][0] == "wait"
    assert [(one["outcome"], one["reason"]) for one in journal(near)] == [
        ("failed", "its load was killed")
    ]


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.slow
@pytest.mark.parametrize("obstacle", [Path.mkdir, loop])
def test_without_a_journal_nothing_is_started_and_that_is_told_once(
    near: Studio, fake_runtime: FakeRuntime, obstacle: Callable[[Path], None]
) -> None:
    port = near.ports[0]
    kill(near)
    obstacle(journal_path(near))
    told = cron(near)
    assert f"could not start amber on {port}: cannot " in told.stdout, told
    assert "starts.jsonl" in told.stdout and cron(near).stdout == ""
    assert started(fake_runtime, "amber") == 1 and near.assignments() == {}
    # It does not keep a person from a load.
    near.must("load", "amber", port)


@pytest.mark.slow
def test_a_port_that_something_else_uses_is_left_alone(
    near: Studio, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    port = near.ports[0]
    kill(near)
    near.must("reconcile")
    with Strangers(tmp_path) as strangers:
        strangers.listen(port)
        assert restarts(near) == {}
    fake_runtime.behaves("tiny--jade", load_s=60)
    load = near.start("load", "jade", port)
    job(near, port, "wait")
    assert restarts(near) == {}
    load.send_signal(signal.SIGINT)
    finished(load)
    assert started(fake_runtime, "amber") == 1 and journal(near) == []
    assert restarts(near)[port][0] == "ready"


@pytest.mark.slow
def test_what_load_refuses_is_tried_again_for_ever_and_never_held(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    kill(near)
    snapshot = Path(near.entry("amber")["cache_path"])
    aside = snapshot.rename(snapshot.with_name("aside"))
    for _ in range(7):
        assert restarts(near)[port][0] == "failed"
        let_pass(near, 15)
    assert {line["outcome"] for line in journal(near)} == {"refused"}
    assert started(fake_runtime, "amber") == 1
    aside.rename(snapshot)
    assert restarts(near)[port][0] == "ready"


def test_a_model_that_was_unloaded_meanwhile_is_not_started(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    """The load looks again at what is wanted, with the port locked."""
    port = near.ports[0]
    near.must("unload", port)
    error = refusal(
        near, "load", model="amber", port=port, by_plan=True, if_wanted=True, start_id="f00"
    )
    assert error.kind == "AssignmentConflict" and "no longer wanted" in error.message
    assert started(fake_runtime, "amber") == 1 and near.assignments() == {}


def supervised_by(studio: Studio, procs: Procs) -> tuple[Restart, ...]:
    """What an agent in this process comes to when it starts the first port's model again."""
    site = Site.from_wire(hosts.find_host("studio", str(studio.hosts_dir)).site)
    who = {"who": "cron", "from": "here"}
    with open(os.devnull, "rb") as nothing, open(os.devnull, "wb") as nowhere:
        client = ClientLink(nowhere.fileno(), nothing)
        ctx = Context(site, Store(site.registry, who), procs, client, who)
        return supervise.restart_lost(ctx, [studio.ports[0]], dry=False)


class FullDisk:
    """This machine, on a disk that takes nothing more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(local_procs(), name)

    def sync(self, fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_start_that_the_disk_has_no_room_to_record_does_not_begin(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    kill(near)
    near.must("reconcile")
    (row,) = supervised_by(near, FullDisk())
    assert row.verdict == "failed" and row.untried
    assert row.reason.startswith("cannot write ") and "nothing was started" in row.reason
    assert journal(near) == [] and started(fake_runtime, "amber") == 1


@pytest.mark.slow
def test_a_long_start_is_left_to_its_job(
    near: Studio, fake_runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = near.ports[0]
    monkeypatch.setattr(supervise, "WAIT_S", 3.0)
    fake_runtime.behaves("tiny--amber", load_s=6)
    kill(near)
    near.must("reconcile")
    (row,) = supervised_by(near, local_procs())
    assert (row.verdict, row.reason) == ("starting", f"not ready yet; mlxops jobs --follow {port}")
    assert journal(near)[0]["outcome"] is None
    near.must("follow", port)
    assert near.ask(port) == "I am tiny/amber" and started(fake_runtime, "amber") == 1 + 1


@pytest.mark.slow
def test_after_a_reboot_one_run_of_cron_brings_everything_back(near: Studio) -> None:
    one, two, three = near.ports
    machine = Machine(near)
    near.must("load", "jade", two)
    near.must("load", "topaz", three)
    machine.reboot()
    told = cron(near).stdout.splitlines()
    assert [line.split(":")[0] for line in told if line.startswith("started")] == [
        f"started amber on {one}",
        f"started jade on {two}",
        f"started topaz on {three}",
    ]
    assert near.assignments() == {"amber": one, "jade": two, "topaz": three}
    assert [near.ask(port) for port in near.ports] == [
        f"I am tiny/{name}" for name in ("amber", "jade", "topaz")
    ]
    assert cron(near).stdout == ""
