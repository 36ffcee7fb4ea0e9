"""A model on two hosts, of which the other does not answer or loses its agent: Ctrl-C works, and
leftovers are reported."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, eventually, finished
from tests.support.survivors import living
from tests.support.twohosts import PEER, Divided
from tests.support.watching import job

pytestmark = [pytest.mark.openssh, pytest.mark.usefixtures("ctrl_c")]


@contextmanager
def dumb(divided: Divided) -> Iterator[None]:
    """Meanwhile the other host accepts connections and does not answer; ssh would wait ten
    seconds."""
    os.kill(divided.two.peer.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(divided.two.peer.pid, signal.SIGCONT)


def asking(divided: Divided) -> bool:
    """Whether an ssh process connects to the other host."""
    return any("BatchMode=yes" in line for line in living(divided.two.folder).values())


def pressed(divided: Divided, command: subprocess.Popen[str]) -> Answer:
    """Ctrl-C while the other host is asked."""
    eventually(lambda: asking(divided))
    command.send_signal(signal.SIGINT)
    answer = finished(command)
    assert answer.exit == 130 and "Traceback" not in answer.stderr, answer
    assert not asking(divided)
    return answer


def stopping(divided: Divided, *words: object) -> subprocess.Popen[str]:
    """The command, while it stops a server that ends only when it is killed."""
    command = divided.studio.start("--json", *words, "--grace", 60)
    job(divided.studio, divided.port, "stop")
    return command


@pytest.mark.slow
def test_ctrl_c_is_heard_before_anything_is_touched_and_at_the_gate(
    divided: Divided, light: FakeRuntime
) -> None:
    studio, port = divided.studio, divided.port
    studio.must("load", "jade", port)
    light.behaves("tiny--jade", ignore=["TERM", "INT"])
    with dumb(divided):
        answer = pressed(divided, studio.start("--json", "load", "amber", port, "--replace"))
    # What it had waited for to its end would be told as the outcome.
    assert "outcome" not in answer.error and light.journal("signal") == []
    load = stopping(divided, "load", "amber", port, "--replace")
    with dumb(divided):
        os.kill(studio.entry("jade")["process"]["pid"], signal.SIGKILL)
        answer = pressed(divided, load)
    assert answer.error["rollback"] == "jade serves again" and "outcome" not in answer.error, answer
    assert studio.assignments() == {"jade": port} and len(divided.servers()) == 1
    light.behaves("tiny--jade")


@pytest.mark.slow
def test_ctrl_c_while_a_rank_there_is_stopped_tells_what_is_left(
    divided: Divided, light: FakeRuntime
) -> None:
    studio, port = divided.studio, divided.port
    light.behaves("MLX_RANK=0", ignore=["TERM", "INT"])
    first, second = divided.load()
    unload = stopping(divided, "unload", port)
    with dumb(divided):
        os.kill(first, signal.SIGKILL)
        told = pressed(divided, unload).error["outcome"]["error"]
    assert told["kind"] == "NotStopped" and f"pid {second} on {PEER}" in told["message"], told
    assert "no answer from the host" in told["message"]
    assert (studio.assignments(), divided.servers()) == ({"amber": port}, {second})
    studio.must("unload", port)
    assert divided.gone() and studio.assignments() == {}


@pytest.mark.slow
def test_an_agent_there_that_is_killed_ends_the_load(divided: Divided, light: FakeRuntime) -> None:
    light.behaves(load_s=60)
    load = divided.studio.start("--json", "load", "amber", divided.port)
    eventually(lambda: len(light.journal("started")) == 2)
    os.kill(parent(divided.pids()[1]), signal.SIGKILL)
    answer = finished(load)
    assert (answer.exit, answer.error["kind"]) == (3, "HostUnreachable"), answer
    assert divided.gone() and divided.studio.assignments() == {}


def parent(pid: int) -> int:
    return int(
        subprocess.run(
            ["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout
    )
