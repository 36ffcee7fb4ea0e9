"""Every verb under fault: kill -9 at most steps of the most important verbs, and a sample of each
kind everywhere else.

The complete campaign: `python -m tests.faults.soak -n N`."""

from __future__ import annotations

import fcntl
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from .agentcall import Blow, Step
from .campaign import Hosts, hosts
from .cases import CASES
from .kinds import JUMPS, KINDS, blows, near, sample
from .scene import Scene
from .tally import Line, surveyed, table, told

pytestmark = pytest.mark.slow

# verb -> at how many of its steps it is killed, if it has that many. Other verbs, which
# share parts of these paths, get a sample. A kill of apply costs several loads.
KILLED = {"register": 100, "unload": 100, "reconcile": 100, "load-swap": 100, "apply": 30}
# verb -> number of faults of all kinds; the slow rest runs in the soak only
SAMPLED = {
    "init": 35,
    "register": 21,
    "set": 28,
    "remove": 28,
    "load-fresh": 14,
    "load-swap": 14,
    "load-failing": 14,
    "unload": 7,
    "unload-all": 14,
    "load-workers": 7,
    "unload-worker": 7,
    "unload-all-workers": 7,
    "load-download": 7,
    "load-pair": 5,
    "unload-pair": 5,
    "load-resume": 7,
    "reconcile": 7,
    "plan": 7,
    "apply": 14,
    "apply-exchange": 7,
    "apply-failing": 7,
    "doctor": 14,
    "status": 7,
    "list": 7,
    "jobs": 7,
    "lock": 7,
    "show": 7,
    "logs": 7,
    "load-evict": 2,
    "fit": 3,
    "fit-hub": 2,
    "verify": 4,
    "status-deep": 2,
}
AT_LEAST = 500
SEED = 20
# Former violations: verb, a part of the path to the step, the event, the fault.
KEPT = (
    # The record of the new server could not be written, so the old one was started next to it.
    ("load-swap", ":_mark_ready", "write", "ENOSPC"),
    ("load-swap", ":_mark_ready", "os.listdir", "RuntimeError"),
    ("load-swap", ":phase < servers/start.py", "os.mkdir", "MemoryError"),
    # Servers that could not be observed were treated as absent.
    ("init", ":processes", "open-read", "EACCES"),
    # A server on a port with a running job was skipped without a message.
    ("init", ":current_job < ", "fcntl.flock", "EAGAIN"),
    # A thread that queries a port ended with a traceback, and its port had no answer.
    ("init", ":ask < ports/answers.py", "socket.connect", "MemoryError"),
    # The registry stayed locked by a run that could not write its name into the lock: it waited for
    # itself.
    ("load-failing", ":_undo_start", "os.pwrite", "RuntimeError"),
    # A rank that was never told to start was waited for, or its absence was not noticed.
    ("load-pair", ":release < servers/start.py", "os.write", "EIO"),
    # The last record could not be sent.
    ("unload", ":send < main.py", "os.write", "MemoryError"),
    # On a full disk an evicted server cannot be restarted, and nothing reported it.
    ("load-evict", ":_assign < servers/start.py", "os.rename", "readonly"),
    # A full disk stopped the old model, and the rollback stopped it again because it could not be
    # recorded.
    ("load-swap", ":_record < servers/start.py", "open", "full"),
    ("load-swap", ":prepare_files < servers/start.py", "os.rename", "full"),
    ("load-failing", ":_record < servers/start.py", "os.rename", "quota"),
    ("load-failing", ":_restore", "open", "noinodes"),
    ("load-failing", ":_undo_start", "open", "readonly"),
    # Nor was it reported when the last step of the job failed.
    ("load-evict", ":__exit__ < ops/load.py", "os.listdir", "RuntimeError"),
)
# Kinds of steps, by the interpreter's name for the event.
DOINGS = {
    "open": {"open"},
    "write": {"write", "os.write", "os.pwrite"},
    "fsync": {"os.fsync"},
    "rename": {"os.rename"},
    "spawn": {"subprocess.Popen"},
    "signal": {"signal.pidfd_send_signal"},
    "connect": {"socket.connect"},
    "send": {"socket.send", "socket.sendall"},
}


@dataclass
class Farm:
    """The hosts, the steps of every verb, and the outcomes of all faults so far."""

    hosts: Hosts
    steps: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def survey(self, name: str) -> tuple[Step, ...]:
        if name not in self.steps:
            self.steps[name] = self.hosts.steps(CASES[name])
            self.lines.append(surveyed(name, self.hosts.python, self.steps[name]))
        return self.steps[name]

    def strike(self, name: str, chosen: list[Blow]) -> list[Line]:
        lines = [
            told(outcome, self.hosts.python) for outcome in self.hosts.strike(CASES[name], chosen)
        ]
        self.lines += lines
        return lines


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with hosts(4, tmp_path_factory.mktemp("faults")) as farm:
        yield Farm(farm)


@contextmanager
def held(scene: Scene, port: int) -> Iterator[None]:
    """The port's lock, held as another run of the agent holds it."""
    with open(f"{scene.registry_path}.{port}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def violated(lines: list[Line]) -> str:
    """The violations, one line each, because pytest shortens a list."""
    return "\n".join(json.dumps(line) for line in lines if line["violations"])


@pytest.mark.parametrize("name", SAMPLED)
def test_every_fault_leaves_a_host_that_one_command_makes_true(name: str, farm: Farm) -> None:
    fits = blows(farm.survey(name))
    dice = random.Random(SEED)
    deaths = [blow for blow in fits if blow.fault in ("kill", "torn")] if name in KILLED else []
    others = [blow for blow in fits if blow not in deaths]
    lines = farm.strike(
        name, [*sample(deaths, KILLED.get(name, 0), dice), *sample(others, SAMPLED[name], dice)]
    )
    assert not violated(lines), violated(lines)
    missed = [line for line in lines if not line["struck"]]
    assert len(missed) <= max(1, len(lines) // 5), missed


@pytest.mark.parametrize(("name", "way", "event", "fault"), KEPT)
def test_what_was_violated_once(name: str, way: str, event: str, fault: str, farm: Farm) -> None:
    steps = [step for step in farm.survey(name) if step.event == event and way in step.place]
    lines = farm.strike(name, [Blow(step, fault) for step in steps if step.nth == 1][:4])
    assert any(line["struck"] for line in lines)
    assert not violated(lines), violated(lines)


def test_a_download_whose_agent_is_killed_half_way_is_resumed(farm: Farm) -> None:
    told_of = [
        step
        for step in farm.survey("load-download")
        if ":progress <" in step.place and not step.look
    ]
    lines = farm.strike(
        "load-download", [Blow(step, "kill") for step in told_of if step.event == "os.write"][:2]
    )
    assert [line["ended"] for line in lines if line["struck"]] == ["no record"] * len(lines) != []
    assert not violated(lines), violated(lines)


def test_a_jump_of_the_clock_takes_no_lock_from_its_holder(farm: Farm) -> None:
    case = CASES["unload"]
    first = next(step for step in near(farm.survey("unload")) if not step.look)
    with farm.hosts.one() as scene:
        case.arrange(scene)
        for jump in JUMPS:
            with held(scene, scene.work):
                ended = scene.watch(case.verb, case.args(scene), Blow(first, jump))
            assert (ended.struck, ended.error.get("kind")) == (True, "Locked")


def test_the_harness_sees_every_kind_of_step(farm: Farm) -> None:
    met = {step.event for name in SAMPLED for step in farm.survey(name)}
    assert [doing for doing, events in DOINGS.items() if not events & met] == []


def test_so_many_faults_of_every_kind_struck(farm: Farm, capsys: Any) -> None:
    """Runs last: the sums over all other tests."""
    struck = [line for line in farm.lines if line.get("struck")]
    with capsys.disabled():
        print("\n" + table(farm.lines))
    assert len(struck) >= AT_LEAST
    assert {line["kind"] for line in struck} == set(KINDS)
    assert {line["case"] for line in struck} == set(SAMPLED)
