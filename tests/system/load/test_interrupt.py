"""Ctrl-C, SIGTERM and worse at every moment of a load: the previous model serves, and the registry
says so."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio, eventually, finished
from tests.support.survivors import living
from tests.support.watching import RegistryWatch, job

pytestmark = pytest.mark.usefixtures("ctrl_c")
# phase of the load -> how the servers behave, so that the load stays in it for a while
MOMENTS: dict[str, dict[str, dict[str, Any]]] = {
    "stop": {"tiny--amber": {"ignore": ["TERM"]}},
    "wait": {"tiny--jade": {"load_s": 6}},
}


@pytest.fixture
def serving(known: Studio) -> Studio:
    """amber serves on the first port."""
    known.must("load", "amber", known.ports[0])
    return known


def swap(studio: Studio, *words: object) -> subprocess.Popen[str]:
    return studio.start(
        "--json", "load", "jade", studio.ports[0], "--replace", "--grace", 3, *words
    )


def interrupted(answer: Answer) -> dict[str, Any]:
    assert answer.exit == 130, answer
    assert "Traceback" not in answer.stdout + answer.stderr
    assert answer.error["kind"] == "Interrupted"
    return answer.error


def amber_serves(studio: Studio) -> None:
    """amber serves, the registry says so, and nothing of the other model is left."""
    port = studio.ports[0]
    assert studio.assignments() == {"amber": port}
    assert studio.ask(port, studio.slot(port)) == "I am tiny/amber"
    row = studio.port_row(port)
    assert (row["state"], row["drift"], row["entry"], row["job"]) == ("ready", None, "amber", None)
    assert "process" not in studio.entry("jade")
    assert not [line for line in living(studio.folder).values() if "tiny--jade" in line]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_swap_has_the_previous_model_back(
    serving: Studio, fake_runtime: FakeRuntime, moment: str, signum: int
) -> None:
    for where, switches in MOMENTS[moment].items():
        fake_runtime.behaves(where, **switches)
    with RegistryWatch(serving) as watch:
        load = swap(serving)
        job(serving, serving.ports[0], moment)
        load.send_signal(signum)
        interrupted(finished(load))
    assert watch.faults == []
    amber_serves(serving)


def test_interrupted_while_the_runtime_is_asked_for_its_flags(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    asked = fake_runtime.program.with_name("asked")
    program = fake_runtime.program.read_text()
    # Another program file: its help is asked anew, and takes its time.
    slow = f"import sys, time\nif '--help' in sys.argv: open({str(asked)!r}, 'w'); time.sleep(2)\n"
    fake_runtime.program.write_text(program.replace("import sys\n", slow, 1))
    before = serving.registry_path.read_bytes()
    load = swap(serving)
    eventually(asked.exists)
    load.send_signal(signal.SIGINT)
    interrupted(finished(load))
    assert serving.registry_path.read_bytes() == before and fake_runtime.journal("signal") == []
    amber_serves(serving)


def test_interrupted_before_the_host_is_reached(serving: Studio) -> None:
    # Stopped at once, it has not got anywhere when the signal is there.
    load = swap(serving)
    load.send_signal(signal.SIGSTOP)
    load.send_signal(signal.SIGTERM)
    load.send_signal(signal.SIGCONT)
    assert finished(load).exit in (130, -signal.SIGTERM)
    amber_serves(serving)


@pytest.mark.slow
def test_the_first_load_of_a_port_leaves_it_free(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    fake_runtime.behaves("tiny--jade", load_s=6)
    load = swap(known)
    job(known, port, "wait")
    load.send_signal(signal.SIGINT)
    interrupted(finished(load))
    assert known.assignments() == {} and known.port_row(port)["state"] == "free"


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once_and_the_host_undoes_alone(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--jade", load_s=6)
    fake_runtime.behaves("tiny--amber", load_s=6)
    load = swap(serving)
    job(serving, serving.ports[0], "wait")
    # A server that is told to end before its first line of code tells nobody that it was there.
    eventually(lambda: len(fake_runtime.journal("started")) == 2)
    load.send_signal(signal.SIGINT)
    # The load's own wait, its undoing, and now the old model's: it will take another 6 s.
    eventually(lambda: len(fake_runtime.journal("started")) == 3)
    load.send_signal(signal.SIGINT)
    asked = time.monotonic()
    interrupted(finished(load))
    assert time.monotonic() - asked < 4
    eventually(lambda: serving.port_row(serving.ports[0])["state"] == "ready")
    amber_serves(serving)


def test_a_killed_client_does_not_end_its_load(serving: Studio, fake_runtime: FakeRuntime) -> None:
    port = serving.ports[0]
    fake_runtime.behaves("tiny--jade", load_s=2)
    load = swap(serving)
    job(serving, port, "wait")
    load.kill()
    load.communicate()
    under_way = serving.port_row(port)
    assert (under_way["state"], under_way["job"]["why"]) == ("starting", f"load jade {port}")
    assert eventually(lambda: serving.port_row(port)["state"] == "ready")
    assert serving.assignments() == {"jade": port} and serving.ask(port) == "I am tiny/jade"
