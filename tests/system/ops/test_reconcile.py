"""reconcile clears only proven dead servers, and says why it leaves the rest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.ops.reconcile import reconcile
from mlxops.agent.procs import Procs
from mlxops.agent.procs.macos.darwin import Darwin
from mlxops.agent.registry.store import Store
from mlxops.agent.site import Site
from mlxops.agent.wire.client import ClientLink
from mlxops.hosts import files as hosts
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually, finished
from tests.support.survivors import living
from tests.support.watching import job

NOBODY = 65534
SILENT_LSOF = "#!/bin/sh\nexit 1\n"
LISTENER = """
import os, socket, sys, time
if len(sys.argv) > 2: os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
time.sleep(600)
"""
Reconciled = dict[str, Any]


def reconciled_by(studio: Studio, procs: Procs) -> Reconciled:
    """The agent's result when it observes the machine through these tools."""
    site = Site.from_wire(hosts.find_host("studio", str(studio.hosts_dir)).site)
    who = {"who": "cron", "from": "here"}
    with open(os.devnull, "rb") as nothing, open(os.devnull, "wb") as nowhere:
        client = ClientLink(nowhere.fileno(), nothing)
        return reconcile(Context(site, Store(site.registry, who), procs, client, who), {})


def kill(studio: Studio, port: int) -> None:
    """Kill the server of a port with SIGKILL, and wait until it and the child with its weights are
    gone."""
    pid = studio.port_row(port)["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not {pid} & living(studio.folder).keys())
    eventually(lambda: studio.port_row(port)["drift"] == "stale")


@contextmanager
def listener(port: int, *user: int) -> Iterator[int]:
    """A foreign process that holds the port; its pid."""
    argv = [sys.executable, "-c", LISTENER, *map(str, (port, *user))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"listening\n"
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def two(known: Studio) -> Studio:
    """amber and jade serve on the first two ports."""
    known.must("load", "amber", known.ports[0])
    known.must("load", "jade", known.ports[1])
    return known


@pytest.fixture
def stale(two: Studio) -> Studio:
    """amber's server is dead."""
    kill(two, two.ports[0])
    return two


@pytest.fixture
def left(known: Studio) -> Studio:
    """amber is assigned to the first port, as after a power cut."""
    record = {"pid": os.getpid(), "start_time": "before the power cut"}
    known.edit(
        lambda registry: registry["models"]["amber"].update(port=known.ports[0], process=record)
    )
    return known


@pytest.mark.slow
def test_nothing_is_cleared_during_a_slow_load(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=3)
    load = known.start("--json", "load", "amber", port)
    job(known, port, "wait")
    said = [known.must("reconcile")]
    while load.poll() is None:
        said.append(known.must("reconcile"))
    assert all(result == {"actions": [], "drift": [], "broken": []} for result in said)
    assert finished(load).exit == 0
    assert known.assignments() == {"amber": port} and known.port_row(port)["state"] == "ready"


@pytest.mark.slow
def test_nothing_is_cleared_while_a_server_loads_whose_agent_is_dead(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=2)
    load = known.start("load", "amber", port)
    os.kill(job(known, port, "wait")["pid"], signal.SIGKILL)
    assert finished(load).exit == 3
    row = known.port_row(port)
    assert (row["state"], row["job"]) == ("starting", None)
    assert known.must("reconcile")["actions"] == [] and known.assignments() == {"amber": port}
    assert eventually(lambda: known.port_row(port)["state"] == "ready")


def test_exactly_the_dead_one_is_cleared(stale: Studio) -> None:
    port = stale.ports[0]
    before = stale.registry_path.read_bytes()
    planned = stale.must("reconcile", "--dry-run")["actions"]
    assert stale.registry_path.read_bytes() == before
    done = stale.must("reconcile")["actions"]
    assert [(a["action"], a["entry"], a["port"], a["applied"]) for a in done] == [
        ("clear", "amber", port, True)
    ]
    assert [{**action, "applied": True} for action in planned] == done and done[0]["reason"]
    assert stale.assignments() == {"jade": stale.ports[1]} and "process" not in stale.entry("amber")
    assert stale.ask(stale.ports[1]) == "I am tiny/jade"
    assert stale.must("reconcile")["actions"] == []


@pytest.mark.slow
def test_cron_hears_of_a_change_once(stale: Studio) -> None:
    said = finished(stale.start("-q", "reconcile"))
    assert said.exit == 0 and len(said.stdout.splitlines()) == 1 and "amber" in said.stdout
    again = finished(stale.start("-q", "reconcile"))
    assert (again.exit, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.parametrize("tool", ["lsof", "ps"])
def test_without_a_tool_nothing_is_cleared_and_it_is_named(
    left: Studio, tool: str, tmp_path: Path
) -> None:
    before = left.registry_path.read_bytes()
    missing = str(tmp_path / "no" / tool)
    result = reconciled_by(left, Darwin(**{**tools(), tool: missing}))
    assert result["actions"] == [] and left.registry_path.read_bytes() == before
    told = {drift["port"]: drift for drift in result["drift"]}
    assert told[left.ports[0]]["drift"] == "unknown" and missing in told[left.ports[0]]["reason"]


def test_with_both_tools_it_is_cleared(left: Studio) -> None:
    result = reconciled_by(left, Darwin(**tools()))
    assert [(a["entry"], a["applied"]) for a in result["actions"]] == [("amber", True)]


def tools() -> dict[str, str]:
    """macOS's tools as this machine has them."""
    return {name: shutil.which(name) or name for name in ("lsof", "ps")}


def hidden(left: Studio, folder: Path) -> Reconciled:
    """As if lsof did not show the listener."""
    blind = folder / "lsof"
    blind.write_text(SILENT_LSOF)
    blind.chmod(0o755)
    with listener(left.ports[0]):
        return reconciled_by(left, Darwin(**{**tools(), "lsof": str(blind)}))


def of_nobody(left: Studio, folder: Path) -> Reconciled:
    with listener(left.ports[0], NOBODY):
        return left.must("reconcile")


# Only root can start something as another user.
OTHERS = [hidden, of_nobody] if os.getuid() == 0 else [hidden]


@pytest.mark.slow
@pytest.mark.parametrize("seen", OTHERS)
def test_a_listener_of_another_user_is_no_proof_of_death(
    left: Studio, seen: Callable[[Studio, Path], Reconciled], tmp_path: Path
) -> None:
    before = left.registry_path.read_bytes()
    result = seen(left, tmp_path)
    assert result["actions"] == [] and left.registry_path.read_bytes() == before
    told = [drift for drift in result["drift"] if drift["port"] == left.ports[0]]
    assert [drift["drift"] for drift in told] == ["foreign"] and "used by" in told[0]["reason"]


@pytest.mark.slow
def test_an_unload_never_touches_a_listener_of_another(left: Studio) -> None:
    port = left.ports[0]
    with listener(port) as pid:
        answer = left.mlxops("unload", port)
        assert (
            answer.exit == 7
            and answer.error["kind"] == "ForeignListener"
            and answer.error["pids"] == [pid]
        )
        loaded = left.mlxops("load", "topaz", port, "--replace", "--force")
        assert loaded.exit == 7 and loaded.error["kind"] == "ForeignListener"
    assert left.assignments()["amber"] == port


def test_what_only_names_a_server_in_its_command_line_is_none(left: Studio) -> None:
    port = left.ports[0]
    words = f"mlx-openai-server launch --model-path x --port {port}"
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", "tail", "-f", words]
    ) as mention:
        try:
            assert [action["entry"] for action in left.must("reconcile")["actions"]] == ["amber"]
            assert mention.poll() is None
        finally:
            mention.kill()


@pytest.mark.slow
def test_a_hand_edit_that_gives_one_port_to_two_is_reported_not_repaired(two: Studio) -> None:
    port = two.ports[0]
    two.edit(lambda registry: registry["models"]["topaz"].update(port=port))
    result = two.must("reconcile")
    assert result["actions"] == [] and [(d["drift"], d["port"]) for d in result["drift"]] == [
        ("duplicate", port)
    ]
    two.must("unload-all")
    assert two.assignments() == {}
