"""No listener and no process is mistaken for a server, and what is not proven to be this user's is
never touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlxops import bundle
from mlxops.agent.errors import ForeignListener, NotStopped
from mlxops.agent.procs import Process, local_procs
from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.rudeness import MANNERS
from tests.support.strangers import NOBODY, Strangers, can_be_others
from tests.support.studio import Studio, eventually, finished
from tests.support.survivors import living

# What a port is worth whose every answer is of this manner.
WITH_A_STATUS = (
    "gigabyte",
    "broken",
    "array_bomb",
    "object_bomb",
    "wrong_types",
    "escapes",
    "long_name",
)
TAKEN_FOR = {**dict.fromkeys(MANNERS, "unresponsive"), **dict.fromkeys(WITH_A_STATUS, "ready")}
PLACES = {
    "::1": "::1",
    "dual": "::",
    "else": "127.0.0.2",
    "deaf": "127.0.0.1",
    "nobody": "127.0.0.1",
}


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[Strangers]:
    with Strangers(tmp_path) as strangers:
        yield strangers


def _local(make_studio: Callable[..., Studio], runtime: dict[str, Any], ports: list[int]) -> Studio:
    studio = make_studio(None, {**runtime, "grace_s": 3}, ports=ports)
    ask(studio, "init")
    return studio


def record(process: Process) -> dict[str, Any]:
    return {"pid": process.pid, "start_time": process.start_time, "argv": list(process.argv)}


def process(pid: int) -> Process:
    found = local_procs().process(pid)
    assert found is not None
    return found


def assign(studio: Studio, name: str, port: int, **fields: Any) -> None:
    studio.edit(lambda registry: registry["models"][name].update(port=port, **fields))


def assign_all(studio: Studio) -> None:
    """Assign every port to its own entry, whose server is long gone."""
    gone = {"pid": os.getpid(), "start_time": "before the power cut"}

    def edit(registry: dict[str, Any]) -> None:
        for port in studio.ports:
            registry["models"][f"m{port}"] = {
                **registry["models"]["amber"],
                "port": port,
                "process": gone,
            }

    studio.edit(edit)


def untouched_by_everything(
    studio: Studio, drift: str, error: type[Exception]
) -> dict[int, dict[str, Any]]:
    """Check that no verb changes the registry or uses the ports; return the rows of status."""
    before = studio.registry_path.read_bytes()
    told = rows(studio)
    assert {port: row["drift"] for port, row in told.items()} == dict.fromkeys(
        studio.ports, drift
    ), told
    for plan in (ask(studio, "reconcile"), ask(studio, "init")):
        assert plan["actions"] == []
    done = {row["port"]: row for row in ask(studio, "unload-all")["ports"]}
    assert {done[port]["error"]["kind"] for port in studio.ports} == {error.__name__}
    for force in (False, True):
        loaded = refusal(
            studio, "load", model="topaz", port=studio.ports[0], replace=True, force=force
        )
        assert isinstance(loaded, error)
    assert studio.registry_path.read_bytes() == before
    return told


@pytest.mark.slow
def test_rude_strangers(
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    strangers: Strangers,
    fake_runtime: FakeRuntime,
) -> None:
    manners = [*TAKEN_FOR, "deaf"]
    studio = _local(make_studio, studio_runtime, free_range(len(manners)))
    assign_all(studio)
    pids = [
        strangers.listen(port, manner=manner)
        for port, manner in zip(studio.ports, manners, strict=True)
    ]
    told = untouched_by_everything(studio, "foreign", ForeignListener)
    states = {
        manner: told[port]["state"] for port, manner in zip(studio.ports, manners, strict=True)
    }
    assert states == {**TAKEN_FOR, "deaf": "unresponsive"}
    assert all(
        f"pid {pid}" in told[port]["reason"] for port, pid in zip(studio.ports, pids, strict=True)
    )
    assert fake_runtime.journal("started") == []


@pytest.mark.slow
def test_strangers_on_every_kind_of_address(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], strangers: Strangers
) -> None:
    studio = _local(make_studio, studio_runtime, free_range(len(PLACES)))
    assign_all(studio)
    for port, (kind, address) in zip(studio.ports, PLACES.items(), strict=True):
        user = NOBODY if kind == "nobody" and can_be_others() else None
        strangers.listen(port, address, "deaf" if kind == "deaf" else "broken", user)
    told = untouched_by_everything(studio, "foreign", ForeignListener)
    states = [told[port]["state"] for port in studio.ports]
    assert dict(zip(PLACES, states, strict=True)) == {
        **dict.fromkeys(PLACES, "ready"),
        "deaf": "unresponsive",
    }


@pytest.mark.slow
def test_rude_servers_of_ours(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], fake_runtime: FakeRuntime
) -> None:
    """Servers stay assigned whatever they answer, and stop like any other."""
    studio = _local(make_studio, studio_runtime, free_range(len(TAKEN_FOR)))
    studio.edit(
        lambda r: r["models"].update({f"m{port}": r["models"]["amber"] for port in studio.ports})
    )
    fake_runtime.behaves(child=False, load_s=0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda port: ask(studio, "load", model=f"m{port}", port=port), studio.ports))
    for port, manner in zip(studio.ports, TAKEN_FOR, strict=True):
        fake_runtime.behaves(f"--port {port} ", child=False, rude=manner)
    before = studio.registry_path.read_bytes()
    told = rows(studio)
    assert {port: row["drift"] for port, row in told.items()} == dict.fromkeys(studio.ports)
    states = {
        manner: told[port]["state"] for port, manner in zip(studio.ports, TAKEN_FOR, strict=True)
    }
    assert states == TAKEN_FOR
    told = ask(studio, "reconcile")
    assert told["actions"] == told["drift"] == []
    assert studio.registry_path.read_bytes() == before
    done = ask(studio, "unload-all")["ports"]
    assert [row for row in done if not row["ok"]] == [] and studio.assignments() == {}
    assert not any(fake_runtime.program.name in line for line in living(studio.folder).values())


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["silent", "escapes"])
def test_a_load_of_a_rude_server_is_undone(
    one: Studio, fake_runtime: FakeRuntime, manner: str
) -> None:
    fake_runtime.behaves(child=False, load_s=0, rude=manner)
    failed = refusal(one, "load", model="amber", port=one.ports[0], timeout_s=3)
    assert failed.kind == "NotReady" and len(failed.message) < 2000
    assert one.assignments() == {} and rows(one)[one.ports[0]]["state"] == "free"


def test_what_a_hostile_server_says_does_not_steer_the_terminal(
    one: Studio, strangers: Strangers
) -> None:
    strangers.listen(one.ports[0], manner="escapes")
    for words in (["status"], ["show", one.ports[0]], ["--json", "status"]):
        said = finished(one.start(*words))
        assert said.exit == 0 and "owned" in said.stdout
        assert all(c == "\n" or c.isprintable() for c in said.stdout + said.stderr), said


def test_a_reused_pid_is_nobody_s_server(one: Studio, strangers: Strangers) -> None:
    """The pid is another program now: the assignment is stale, and the program is left alone."""
    port = one.ports[0]
    pid = strangers.run("sleep", "600")
    assign(one, "amber", port, process={**record(process(pid)), "start_time": "then-1"})
    row = rows(one)[port]
    assert (row["state"], row["drift"], row["pid"]) == ("failed", "stale", None)
    assert ask(one, "unload", port=port)["changed"] and one.assignments() == {}
    assign(one, "amber", port, process={**record(process(pid)), "start_time": "then-1"})
    assert [a["applied"] for a in ask(one, "reconcile")["actions"]] == [True]


def test_a_recorded_process_that_is_no_server_is_neither_stopped_nor_forgotten(
    one: Studio, strangers: Strangers
) -> None:
    port = one.ports[0]
    pid = strangers.run("sleep", "600")
    assign(one, "amber", port, process=record(process(pid)))
    before = one.registry_path.read_bytes()
    row = rows(one)[port]
    assert (row["drift"], row["pid"]) == ("mismatch", pid) and str(pid) in row["reason"]
    assert ask(one, "reconcile")["actions"] == []
    assert isinstance(refusal(one, "unload", port=port), NotStopped)
    assert isinstance(refusal(one, "load", model="jade", port=port, replace=True), NotStopped)
    assert one.registry_path.read_bytes() == before


def test_a_group_that_was_never_ours_is_not_taken_for_what_a_server_left(
    one: Studio, strangers: Strangers
) -> None:
    """A reused pid may be that of another user's dead process group, with workers that look like a
    server's."""
    port = one.ports[0]
    code = (
        "import os,sys;p=os.fork();p and os._exit(0);print(os.getpid(),flush=True);sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, "multiprocessing.spawn"]
    with subprocess.Popen(
        argv, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as leader:
        assert leader.stdout is not None
        worker = int(leader.stdout.readline())
        leader.wait()
        gone = {"pid": leader.pid, "start_time": "another-boot-1", "argv": ["mlx-openai-server"]}
        assign(one, "amber", port, process=gone)
        try:
            ask(one, "unload-all")
            left = local_procs().process(worker)
            assert left and not left.zombie, "a stranger's worker was ended"
        finally:
            eventually(lambda: local_procs().process(leader.pid) is None)


def test_look_alikes(one: Studio, strangers: Strangers, tmp_path: Path) -> None:
    """Every command line that only mentions a server, with all its words and the port."""
    port = one.ports[0]
    pids = {strangers.run(*argv, **popen) for argv, popen in _look_alikes(tmp_path, port)}
    eventually(
        lambda: (
            pids
            <= {p.pid for p in local_procs().processes().values() if str(port) in " ".join(p.argv)}
        )
    )
    assign(one, "amber", port)
    assert rows(one)[port]["drift"] == "stale"
    assert [a["entry"] for a in ask(one, "reconcile")["actions"]] == ["amber"]
    # Nothing runs: what is left to do is to forget that amber was assigned.
    assert ask(one, "unload", port=port)["forgot"] == ["amber"]
    assert ask(one, "load", model="amber", port=port)["changed"]
    assert ask(one, "unload", port=port)["changed"]


def _look_alikes(folder: Path, port: int) -> Iterator[tuple[list[object], dict[str, Any]]]:
    words = ["mlx-openai-server", "launch", "--model-path", "m", "--port", str(port)]
    line = " ".join(words)
    file = folder / line
    file.touch()
    wait = "import sys; sys.stdin.read() # "
    for name in ("rg", "vim", "emacs", "mlx-openai-server-watch", "launch", "not-mlx_lm.server"):
        yield [name, "--", "-", *words], {"executable": "/bin/cat"}
    yield ["tail", "-f", file], {}
    yield ["grep", "-e", line, "--", "-", *words], {}
    yield ["sh", "-c", f"cat; : {line}", *words], {}
    yield [sys.executable, "-c", wait + line, *words], {}
    yield [sys.executable, "-Ic", f"{wait}/{words[0]}", *words[1:]], {}
    yield [sys.executable, "-c", wait, "-m", "mlx_lm.server", *words], {}
    yield [*bundle.local_argv(None), *words], {}
