"""A server is a family of launcher, server and worker: if one of them is dead, the others are
found, named and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.procs import local_procs
from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.strangers import Strangers
from tests.support.studio import Studio, eventually
from tests.support.survivors import living

UV_RUN = '#!/bin/bash\n"$@"\nexit $?\n'


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[Strangers]:
    with Strangers(tmp_path) as strangers:
        yield strangers


@pytest.fixture
def serving(one: Studio) -> Studio:
    """amber serves on the first port."""
    ask(one, "load", model="amber", port=one.ports[0])
    return one


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid))


def gone(pid: int) -> bool:
    found = local_procs().process(pid)
    return found is None or found.zombie


def worker(runtime: FakeRuntime) -> int:
    pid: int = runtime.journal("child")[-1]["child"]
    return pid


def verdict(studio: Studio) -> tuple[str, str | None]:
    row = rows(studio)[studio.ports[0]]
    return row["state"], row["drift"]


def unload(studio: Studio) -> None:
    """unload stops all processes of the server and clears the assignment."""
    assert ask(studio, "unload", port=studio.ports[0])["changed"]
    assert studio.assignments() == {} and verdict(studio) == ("free", None)
    assert not any(
        "multiprocessing" in line or "openai-server" in line
        for line in living(studio.folder).values()
    )


@pytest.mark.slow
def test_the_worker_is_killed_and_the_parent_answers(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    port = serving.ports[0]
    kill(worker(fake_runtime))
    assert verdict(serving) == ("dead-child", None)
    told = ask(serving, "reconcile")
    assert told["actions"] == told["drift"] == [] and [one["state"] for one in told["broken"]] == [
        "dead-child"
    ]
    assert refusal(serving, "load", model="amber", port=port).kind == "PortBusy"
    assert len(fake_runtime.journal("child")) == 1, "looking at it started the worker again"
    assert ask(serving, "load", model="amber", port=port, replace=True)["changed"]
    assert verdict(serving) == ("ready", None)
    kill(worker(fake_runtime))
    unload(serving)


@pytest.mark.slow
@pytest.mark.parametrize("then", ["unload", "load"])
def test_the_parent_is_killed_and_the_worker_left(
    serving: Studio, fake_runtime: FakeRuntime, then: str
) -> None:
    port, left = serving.ports[0], worker(fake_runtime)
    fake_runtime.behaves(orphan=True)
    ask(serving, "load", model="jade", port=port, replace=True)
    left = worker(fake_runtime)
    kill(rows(serving)[port]["pid"])
    row = rows(serving)[port]
    assert (row["state"], row["drift"]) == ("failed", "mismatch") and str(left) in row["reason"]
    assert ask(serving, "reconcile")["actions"] == [] and serving.assignments() == {"jade": port}
    assert not gone(left)
    fake_runtime.behaves()
    if then == "load":
        assert ask(serving, "load", model="topaz", port=port, replace=True)["changed"]
        assert gone(left) and serving.assignments() == {"topaz": port}
    unload(serving)
    assert gone(left)


@pytest.fixture
def under_uv(one: Studio, fake_runtime: FakeRuntime, tmp_path: Path) -> Studio:
    """amber serves below `uv run`: a shell named uv, which takes the script named run from PATH."""
    folder = tmp_path / "uv-bin"
    folder.mkdir()
    uv = folder / "uv"
    shutil.copy(shutil.which("bash") or "bash", uv)
    (folder / "run").write_text(UV_RUN)
    (folder / "run").chmod(0o755)
    one.runtime["command"] = [
        "/usr/bin/env",
        f"PATH={folder}:{os.environ['PATH']}",
        "uv",
        "run",
        *fake_runtime.command,
    ]
    one.describe()
    ask(one, "load", model="amber", port=one.ports[0])
    return one


def family(studio: Studio) -> tuple[int, int]:
    """uv and the server below it."""
    uv = studio.entry("amber")["process"]["pid"]
    server = rows(studio)[studio.ports[0]]["pid"]
    found = local_procs().process(server)
    assert found is not None and found.ppid == uv != server
    return uv, server


def test_a_server_under_uv(under_uv: Studio, fake_runtime: FakeRuntime) -> None:
    uv, server = family(under_uv)
    assert verdict(under_uv) == ("ready", None)
    assert ask(under_uv, "load", model="amber", port=under_uv.ports[0])["changed"] is False
    unload(under_uv)
    assert gone(uv) and [heard["pid"] for heard in fake_runtime.journal("signal")] == [server]


@pytest.mark.slow
def test_uv_is_killed_and_the_server_left(under_uv: Studio, fake_runtime: FakeRuntime) -> None:
    uv, server = family(under_uv)
    kill(uv)
    assert (
        verdict(under_uv) == ("ready", "unrecorded")
        and rows(under_uv)[under_uv.ports[0]]["pid"] == server
    )
    noted = ask(under_uv, "reconcile")["actions"]
    assert [(step["action"], step["entry"], step["applied"]) for step in noted] == [
        ("note", "amber", True)
    ]
    assert under_uv.assignments() == {"amber": under_uv.ports[0]}
    assert (
        verdict(under_uv) == ("ready", None) and under_uv.entry("amber")["process"]["pid"] == server
    )
    unload(under_uv)
    assert gone(server)


@pytest.mark.slow
def test_uv_and_the_server_are_killed_and_the_worker_left(
    under_uv: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves(orphan=True)
    ask(under_uv, "load", model="jade", port=under_uv.ports[0], replace=True)
    kill(under_uv.entry("jade")["process"]["pid"])
    kill(rows(under_uv)[under_uv.ports[0]]["pid"])
    assert ask(under_uv, "reconcile")["actions"] == [] and not gone(worker(fake_runtime))
    unload(under_uv)
    assert gone(worker(fake_runtime))


def test_a_zombie_is_dead(one: Studio, fake_runtime: FakeRuntime) -> None:
    """A killed server that its parent does not reap, as if pid 1 did not reap."""
    port = one.ports[0]
    argv = [
        *fake_runtime.command,
        "--model-path",
        one.entry("amber")["cache_path"],
        "--port",
        str(port),
    ]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        eventually(lambda: verdict(one) == ("ready", "orphan"))
        assert [a["action"] for a in ask(one, "init")["actions"]] == ["adopt"]
        kept = one.entry("amber")["process"]
        kill(server.pid)
        eventually(lambda: gone(worker(fake_runtime)))
        zombie = local_procs().process(server.pid)
        assert zombie and zombie.zombie and kept["start_time"] == zombie.start_time
        assert verdict(one) == ("failed", "stale")
        assert [a["applied"] for a in ask(one, "reconcile")["actions"]] == [True]
        assert ask(one, "load", model="amber", port=port)["changed"]
        unload(one)


@pytest.mark.slow
@pytest.mark.parametrize("argv", [None, [1, 2], ["$(touch CANARY)"]])
def test_a_record_that_was_tampered_with_does_not_decide_what_is_started_again(
    serving: Studio, fake_runtime: FakeRuntime, argv: Any
) -> None:
    """A failed swap restores what ran, not what the registry says ran."""
    port = serving.ports[0]
    ran = fake_runtime.journal("started")[-1]["argv"]

    def tamper(registry: dict[str, Any]) -> None:
        kept = registry["models"]["amber"]["process"]
        registry["models"]["amber"]["process"] = {
            "pid": kept["pid"],
            "start_time": "other",
            "argv": argv,
        }

    serving.edit(tamper)
    fake_runtime.behaves("tiny--jade", die_after_s=0)
    failed = refusal(serving, "load", model="jade", port=port, replace=True)
    assert "serves again" in failed.message
    assert fake_runtime.journal("started")[-1]["argv"] == ran and verdict(serving) == (
        "ready",
        None,
    )
    unload(serving)


@pytest.mark.slow
def test_two_servers_that_name_one_port(serving: Studio, fake_runtime: FakeRuntime) -> None:
    """The second server hangs because the port is taken; an unload that left it would wrongly
    report a free port."""
    port, path = serving.ports[0], serving.entry("jade")["cache_path"]
    owner = rows(serving)[port]["pid"]
    fake_runtime.behaves("tiny--jade", load_s=600, child=False)
    argv = [*fake_runtime.command, "--model-path", path, "--port", str(port)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as second:
        try:
            eventually(lambda: len(fake_runtime.journal("started")) == 2)
            assert rows(serving)[port]["pid"] == owner and verdict(serving)[0] == "ready"
            ask(serving, "unload", port=port)
            assert gone(owner)
            assert gone(second.pid) == (verdict(serving) == ("free", None))
            unload_rest = ask(serving, "unload", port=port)
            assert (
                unload_rest["state"] == "free"
                and gone(second.pid)
                and verdict(serving) == ("free", None)
            )
        finally:
            second.kill()


def test_a_stranger_beside_our_server(
    one: Studio, fake_runtime: FakeRuntime, strangers: Strangers
) -> None:
    """A listener on another address of the port is reported, and no verb works on the port until it
    is gone."""
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    strangers.listen(port, "::1")
    pid = rows(one)[port]["pid"]
    assert rows(one)[port]["drift"] == "foreign"
    for verb, args in (("unload", {}), ("load", {"model": "jade", "replace": True})):
        assert refusal(one, verb, port=port, **args).kind == "ForeignListener"
    assert not gone(pid) and one.assignments() == {"amber": port}


NAMES_IT = """
import os, sys, time
if os.getuid() == 0 and "--other" in sys.argv:
    os.setgid(65534); os.setuid(65534)
time.sleep(600)
"""


def impostor(folder: Path, strangers: Strangers, *words: object) -> int:
    """A process with a server's command line that serves nothing."""
    program = folder / "mlx_lm.server"
    program.write_text(NAMES_IT)
    return strangers.run(sys.executable, program, *words)


@pytest.mark.slow
def test_whoever_only_names_the_port_is_neither_stopped_nor_in_the_way(
    serving: Studio, strangers: Strangers, tmp_path: Path
) -> None:
    """Any user can start a process that looks like a server of the port; `strangers` checks that
    none was harmed."""
    port = serving.ports[0]
    named = [impostor(tmp_path, strangers, "--port", port, *more) for more in ((), ("--other",))]
    eventually(lambda: all(local_procs().process(pid) for pid in named))
    if os.getuid() == 0:  # The other one begins as root.
        eventually(lambda: (other := local_procs().process(named[1])) and other.uid == 65534)
    row = rows(serving)[port]
    # Of this user's own it is told what it holds; another user's is nothing to mlxops.
    assert row["drift"] == "stray" and [one["pid"] for one in row["strays"]] == named[:1]
    assert ask(serving, "load", model="jade", port=port, replace=True)["changed"]
    assert serving.ask(port, serving.slot(port)) == "I am tiny/jade"
    assert ask(serving, "unload", port=port)["changed"] and serving.assignments() == {}
    left = refusal(serving, "unload", port=port)
    assert left.kind == "NotStopped" and all(str(pid) in left.message for pid in named)


def test_another_user_s_process_that_only_names_the_port_is_not_stopped(
    one: Studio, strangers: Strangers, tmp_path: Path
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root could stop it")
    pid = impostor(tmp_path, strangers, "--port", one.ports[0], "--other")
    eventually(lambda: (found := local_procs().process(pid)) and found.uid == 65534)
    assert str(pid) in refusal(one, "unload", port=one.ports[0]).message


@pytest.mark.slow
def test_a_server_below_another_port_s_is_no_part_of_it(
    one: Studio, strangers: Strangers, tmp_path: Path
) -> None:
    """A launcher names the same port; one that names another is a server of its own."""
    inner = tmp_path / "inner" / "mlx_lm.server"
    inner.parent.mkdir()
    inner.write_text(NAMES_IT)
    outer = tmp_path / "mlx_lm.server"
    below = f"subprocess.run([sys.executable, {str(inner)!r}, '--port', sys.argv[3]])"
    outer.write_text(f"import subprocess, sys\n{below}\ninput()")
    pid = strangers.run(sys.executable, outer, "--port", one.ports[0], one.ports[1])
    eventually(lambda: rows(one)[one.ports[1]]["pid"] is not None)
    assert rows(one)[one.ports[0]]["pid"] == pid
    assert ask(one, "unload", port=one.ports[1])["changed"]
