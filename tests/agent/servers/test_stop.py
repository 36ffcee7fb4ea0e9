"""Stopping a server: only proven processes get a signal, and the proof that they are gone. Runs on
Python 3.9 too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import NotStopped
from mlxops.agent.procs import Process, local_procs
from mlxops.agent.servers.stop import StopTarget, stop
from tests.support.launching import Launcher, nothing
from tests.support.ports import is_free
from tests.support.procs_actors import SLEEPER, as_nobody, eventually, running, unused_port, zombie

RUNTIMES = ["mlx-openai-server", "mlx_lm.server"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can put on another user's eyes")


@pytest.fixture(params=RUNTIMES)
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, request.param)
    yield made
    made.end()


def gone(process: Process) -> bool:
    now = local_procs().process(process.pid)
    return now is None or now.zombie or now.start_time != process.start_time


def stopped(launcher: Launcher, prey: StopTarget) -> bool:
    return all(map(gone, prey.processes)) and is_free(launcher.port)


def test_an_idle_server_ends_on_the_first_signal_with_all_its_children(launcher: Launcher):
    launcher.serving()
    prey = launcher.prey()
    assert len(prey.processes) == (3 if launcher.runtime.worker else 1)
    stop(launcher.procs, prey, 20, nothing)
    assert stopped(launcher, prey)
    assert launcher.signals() == ["TERM"]


def test_a_worker_that_lives_on_for_a_while_is_waited_for(tmp_path: Path):
    launcher = Launcher(tmp_path, "mlx-openai-server")
    try:
        launcher.fake.behaves(linger_s=1.5)
        launcher.serving()
        prey, began = launcher.prey(), time.monotonic()
        stop(launcher.procs, prey, 20, nothing)
        assert stopped(launcher, prey)
        assert time.monotonic() - began > 1.4
    finally:
        launcher.end()


def test_one_that_ignores_the_first_signal_gets_the_second(launcher: Launcher):
    launcher.fake.behaves(ignore=["TERM"])
    launcher.serving()
    prey, said = launcher.prey(), []
    stop(launcher.procs, prey, 2, said.append)
    assert stopped(launcher, prey)
    assert launcher.signals() == ["TERM", "INT"]
    assert "still running after SIGTERM, sending SIGINT" in said


def test_one_that_ignores_both_is_killed_with_its_whole_family_at_the_end_of_the_grace(
    launcher: Launcher,
):
    launcher.fake.behaves(ignore=["TERM", "INT"], orphan=True)
    launcher.serving()
    prey, said, began = launcher.prey(), [], time.monotonic()
    stop(launcher.procs, prey, 1.5, said.append)
    assert stopped(launcher, prey)
    assert 1.5 <= time.monotonic() - began < 6
    assert launcher.signals() == ["TERM", "INT"]
    assert said[-1] == "still running after 1.5 s, sending SIGKILL"


def test_the_waiting_tells_of_requests_in_flight(launcher: Launcher):
    launcher.fake.behaves(ignore=["TERM"])
    launcher.serving()
    prey, said = launcher.prey(), []
    stop(launcher.procs, prey, 3, said.append, requests_in_flight=lambda: 2)
    assert said == [
        "waiting for 2 requests in flight",
        "still running after SIGTERM, sending SIGINT",
    ]


def test_workers_that_a_dead_server_left_behind_are_ended_too(tmp_path: Path):
    launcher = Launcher(tmp_path, "mlx-openai-server")
    try:
        launcher.fake.behaves(orphan=True)
        launcher.serving()
        prey = launcher.prey()
        launcher.procs.send(prey.first[0], signal.SIGKILL)
        eventually(lambda: gone(prey.first[0]))
        assert not all(map(gone, prey.processes))
        stop(launcher.procs, prey, 3, nothing)
        assert stopped(launcher, prey)
    finally:
        launcher.end()


def sleeping(child: Any) -> Process:
    process = local_procs().process(child.pid)
    assert process is not None
    return process


def test_a_pid_that_names_another_process_by_now_gets_no_signal():
    with running(SLEEPER) as child:
        stranger = sleeping(child)._replace(start_time="of the one before")
        stop(
            local_procs(),
            StopTarget(unused_port(), "127.0.0.1", (stranger,), (stranger,)),
            0.5,
            nothing,
        )
        assert child.poll() is None


def test_a_zombie_is_gone():
    began = time.monotonic()
    with zombie() as pid:
        dead = local_procs().process(pid)
        stop(local_procs(), StopTarget(unused_port(), "127.0.0.1", (dead,), (dead,)), 30, nothing)
    assert time.monotonic() - began < 5


def test_a_child_born_after_the_look_is_ended_as_well():
    """Ignores SIGTERM, and has a child that started after the family was listed."""
    births = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); "
        "sys.stdin.readline();"
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(c.pid, flush=True);"
        "c.wait()"
    )
    with running(births) as child:
        parent = sleeping(child)
        child.stdin.write(b"\n")
        child.stdin.flush()
        born = local_procs().process(int(child.stdout.readline()))
        stop(
            local_procs(),
            StopTarget(unused_port(), "127.0.0.1", (parent,), (parent,)),
            0.5,
            nothing,
        )
        assert gone(born)


@pytest.mark.slow
def test_a_port_that_somebody_else_holds_is_not_stopped():
    """The server is gone but the port is not free: not a success."""
    with socket.socket() as held, zombie() as pid:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port, dead = held.getsockname()[1], local_procs().process(pid)
        with pytest.raises(NotStopped, match="still in use by another process") as refused:
            stop(local_procs(), StopTarget(port, "127.0.0.1", (dead,), (dead,)), 1, nothing)
    assert refused.value.fields["port"] == port


@as_root
def test_another_users_process_is_not_stopped_and_said_so():
    with running(SLEEPER) as child:
        process, port = sleeping(child), unused_port()

        def attempt() -> str:
            try:
                stop(
                    local_procs(),
                    StopTarget(port, "127.0.0.1", (process,), (process,)),
                    0.5,
                    nothing,
                )
            except NotStopped as exc:
                return exc.message
            return "stopped"

        assert as_nobody(attempt).startswith(f"cannot signal pid {child.pid}, ")
        assert child.poll() is None


def test_the_stopped_are_found_by_port_and_never_by_a_word(launcher: Launcher):
    """Next to the server: a tail of its log, and a server of the same name on another port."""
    launcher.serving()
    tail = subprocess.Popen(
        ["tail", "-f", launcher.log, "--pid", str(os.getpid())], stdout=subprocess.DEVNULL
    )
    line = [str(launcher.fake.program), *launcher.argv[1:]]
    line[line.index("--port") + 1] = str(unused_port())
    neighbour = subprocess.Popen(
        [sys.executable, *line], cwd=launcher.state_dir, stdout=subprocess.DEVNULL
    )
    try:
        prey = launcher.prey()
        stop(launcher.procs, prey, 20, nothing)
        assert stopped(launcher, prey)
        assert (tail.poll(), neighbour.poll()) == (None, None)
    finally:
        for process in (tail, neighbour):
            process.terminate()
            process.wait()
