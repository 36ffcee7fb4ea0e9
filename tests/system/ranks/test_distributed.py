"""A model on two hosts is one model: loaded, shown, swapped and unloaded together, and no rank is
ever left behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually
from tests.support.survivors import living
from tests.support.twohosts import PEER, Divided, TwoHosts
from tests.support.watching import lock_text, refused

pytestmark = pytest.mark.openssh
Make = Callable[..., Studio]


def test_both_ranks_are_one_server_from_load_to_unload(
    divided: Divided, light: FakeRuntime
) -> None:
    studio, port = divided.studio, divided.port
    first, second = divided.load()
    row = studio.port_row(port)
    assert (row["state"], row["drift"], row["pid"]) == ("ready", None, first)
    assert row["ranks"] == [{"host": PEER, "pid": second, "alive": True}]
    started = {record["pid"]: record for record in light.journal("started")}
    assert [started[pid]["env"]["MLX_RANK"] for pid in (first, second)] == ["0", "1"]
    for pid, state_dir in zip((first, second), divided.state_dirs, strict=True):
        assert started[pid]["env"]["MLX_HOSTFILE"].startswith(str(state_dir))
    assert f"--port {port}" in " ".join(started[first]["argv"])
    assert not any(word == str(port) for word in started[second]["argv"])
    light.behaves("tiny--jade", die_after_s=0.1, exit_status=3)
    assert studio.mlxops("load", "jade", port, "--replace").exit == 8
    again = set(divided.pids())
    assert divided.servers() == again and not {first, second} & again
    studio.must("unload", port)
    assert (divided.servers(), studio.port_row(port)["state"]) == (set(), "free")


@pytest.mark.slow
def test_a_rank_that_dies_is_told_and_the_rest_unloaded(divided: Divided) -> None:
    _, second = divided.load()
    os.kill(second, signal.SIGKILL)
    row = eventually(
        lambda: (r := divided.studio.port_row(divided.port))["state"] == "dead-child" and r
    )
    assert f"pid {second} on {PEER} is gone" in row["reason"]
    divided.studio.must("unload", divided.port)
    assert divided.gone()


@pytest.mark.slow
def test_while_the_other_host_cannot_be_asked_nothing_is_changed(divided: Divided) -> None:
    """Afterwards the remaining rank keeps the assignment until it is stopped."""
    studio, port, (first, second) = divided.studio, divided.port, divided.load()
    divided.two.peer.stop()
    row = studio.port_row(port)
    assert (row["state"], row["ranks"][0]["alive"], PEER in row["reason"]) == (
        "unknown",
        None,
        True,
    )
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in divided.servers())
    (drift,) = studio.must("reconcile")["drift"]
    assert (drift["drift"], studio.assignments()) == ("unknown", {"amber": port})
    refused(studio.mlxops("unload", port), 1, "EvidenceUnknown")
    assert (studio.assignments(), divided.servers()) == ({"amber": port}, {second})
    divided.two.peer.start()
    row = studio.port_row(port)
    assert (row["state"], f"{second} on {PEER}" in row["reason"]) == ("failed", True)
    assert studio.must("reconcile")["actions"] == []
    studio.must("unload", port)
    assert divided.gone() and studio.assignments() == {}


@pytest.mark.slow
def test_a_killed_agent_leaves_no_rank_that_is_not_on_record(
    divided: Divided, light: FakeRuntime
) -> None:
    """Killed at its gate, and while it loads: unload finds what is recorded."""
    studio, port = divided.studio, divided.port
    light.behaves(load_s=60)
    for wanted in (0, 2):
        before = len(light.journal("started"))
        load = studio.start("load", "amber", port)
        eventually(
            lambda n=before + wanted: divided.servers() and len(light.journal("started")) >= n
        )
        os.kill(lock_text(studio, port)["pid"], signal.SIGKILL)
        load.communicate()
        eventually(lambda: divided.servers() <= divided.recorded())
        assert studio.must("reconcile")["actions"] == [] or not divided.servers()
        studio.must("unload", port)
        assert divided.gone() and studio.assignments() == {}


@pytest.mark.slow
def test_a_rank_that_cannot_start_takes_the_load_back_on_both(
    divided: Divided, light: FakeRuntime
) -> None:
    studio, port = divided.studio, divided.port
    studio.must("load", "jade", port)
    light.behaves("tiny--amber", load_s=60)
    light.behaves("MLX_RANK=1", die_after_s=0.2, exit_status=3)
    failed = studio.mlxops("load", "amber", port, "--replace")
    assert failed.exit == 8, failed
    assert f"{PEER}: its rank exited with status 3" in failed.error["message"]
    assert "RuntimeError: died as asked" in failed.error["log"]
    assert studio.assignments() == {"jade": port}
    assert divided.servers() == {studio.port_row(port)["pid"]}


@pytest.mark.slow
def test_what_cannot_be_started_everywhere_stops_nothing(divided: Divided, tmp_path: Path) -> None:
    other = FakeRuntime(tmp_path / "bin")
    with (divided.studio.hosts_dir / "studio.toml").open("a") as file:
        file.write(f'\n[runtimes.mlx-openai-server]\ncommand = ["{other.program}", "launch"]\n')
    there = divided.state_dirs[1]
    there.write_text("no folder")
    told = divided.studio.mlxops("load", "amber", divided.port).error["message"]
    assert told.startswith("second: the state folder is not safe to use") and str(there) in told
    assert (divided.servers(), divided.studio.assignments()) == (set(), {})
    there.unlink()
    for change, said in (
        ("hosts=first=127.0.0.1 nobody=127.0.0.1", "cannot reach nobody"),
        (
            "hosts=first=127.0.0.1 second=192.0.2.1",
            "second: 192.0.2.1 is not an address of this host",
        ),
    ):
        divided.studio.must("set", "amber", change)
        refused(divided.studio.mlxops("set", "amber", "hosts=first=127.0.0.1"), 2, "Usage")
        answer = divided.studio.mlxops("load", "amber", divided.port)
        assert said in answer.error["message"] and answer.error["hint"], answer
        assert (divided.servers(), divided.studio.assignments()) == (set(), {})
    runtime = {"runtime": "mlx-openai-server"}
    for words in (("set", "amber", "runtime=mlx-openai-server"), ("load", "amber", divided.port)):
        error = refused(divided.studio.mlxops(*words), 1, "Failed")
        assert "cannot run a model on several hosts" in error["message"]
        # As a person's editor would write it.
        divided.studio.edit(lambda registry: registry["models"]["amber"].update(runtime))
    assert (divided.servers(), divided.studio.assignments()) == (set(), {})
    divided.studio.must("set", "amber", "hosts=")
    assert "hosts" not in divided.studio.entry("amber")


@pytest.mark.slow
def test_two_hosts_give_one_answer(two: TwoHosts, make_studio: Make) -> None:
    """MLX's own engine, each rank with its half of a tiny model."""
    runtime: dict[str, Any] = {
        "name": "mlx_lm.server",
        "command": [str(Path(sys.executable).parent / "mlx_lm.server")],
    }
    divided = Divided(
        make_studio(two.login, {**runtime, "startup_timeout_s": 180, "grace_s": 20}), two
    )
    pids = divided.load()
    assert divided.studio.ask(divided.port, "default_model").startswith("I am AMBER")
    assert set(pids) <= living(divided.studio.folder).keys()
    divided.studio.must("unload", divided.port)
    assert divided.gone()
