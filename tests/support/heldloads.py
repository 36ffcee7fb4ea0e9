"""Loads held in each of their phases: four concurrent swaps on a Studio behind a link that can be
cut."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlxops import bundle
from mlxops.demo.tinymodel import write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.fakeserver import CHAT
from tests.support.padding import padding
from tests.support.studio import Answer, Studio, eventually, finished
from tests.support.survivors import living
from tests.support.watching import job, refused

# How each phase is held: the Hub sends almost nothing; the old server ignores SIGTERM; the registry
# is locked while the old server ends, so that the new one waits at its gate; the new server does
# not answer chats.
PHASES = ("download", "wait", "stop", "launch")
TRICKLE = 32 << 10
PATIENCE = ("--grace", 600, "--timeout", 600)


def old(phase: str) -> str:
    return f"old-{phase}"


def new(phase: str) -> str:
    return f"new-{phase}"


# What the progress of each phase begins with.
STEPS = {
    "download": ": downloading ",
    "stop": ": stopping ",
    "launch": ": starting ",
    "wait": ": waiting for the server",
}


@dataclass
class HeldLoads:
    """By phase: the port, the client that requested the load, the job's id."""

    studio: Studio
    runtime: FakeRuntime
    hub: FakeHub
    clients: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    _lock: int = -1

    def port(self, phase: str) -> int:
        return self.studio.ports[PHASES.index(phase)]

    def serve_old(self, files: Mapping[str, bytes]) -> None:
        """Serve the old model on every port; register the new ones, except the one to download."""
        for phase in PHASES:
            self.studio.add(f"tiny/{old(phase)}", files)
            if phase != "download":
                self.studio.add(f"tiny/{new(phase)}", files)
        padded = {**files, "padding.safetensors": padding(2 << 20)}
        write_cache(self.hub.root, f"tiny/{new('download')}", padded)
        self.studio.must("init")
        self.together({phase: ("load", old(phase), self.port(phase)) for phase in PHASES})

    def hold(self) -> None:
        """Start the loads, and return when each is in its phase and stays there."""
        self.hub.faults.rate = TRICKLE
        for phase in ("stop", "launch"):
            self.runtime.behaves(old(phase), ignore=["TERM"])
        for phase in ("wait", "launch"):
            self.runtime.behaves(new(phase), hang=[CHAT])
        for phase in PHASES:
            self._begin(phase)
        for phase in PHASES[:3]:
            self.jobs[phase] = job(self.studio, self.port(phase), phase)["job"]
        eventually(lambda: self.hub.asked_for("/lfs/"))
        job(self.studio, self.port("launch"), "stop")
        told = {self._old_pid(phase) for phase in ("stop", "launch")}
        eventually(lambda: told <= {record["pid"] for record in self.runtime.journal("signal")})
        eventually(
            lambda: [seen for seen in self.runtime.journal("request") if seen["path"] == CHAT]
        )
        self._take_lock()
        self.runtime.behaves(old("launch"))
        self._end_old("launch")
        self.jobs["launch"] = job(self.studio, self.port("launch"), "launch")["job"]

    def _begin(self, phase: str) -> None:
        model = f"tiny/{new(phase)}"
        self.clients[phase] = self.studio.start(
            "--json", "load", model, self.port(phase), "--replace", *PATIENCE
        )

    def _take_lock(self) -> None:
        self._lock = registry_lock(self.studio)

    def release_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def release_stop(self) -> None:
        """Let the old server end."""
        self._end_old("stop")

    def _end_old(self, phase: str) -> None:
        os.kill(self._old_pid(phase), signal.SIGINT)

    def _old_pid(self, phase: str) -> int:
        pid: int = self.studio.entry(old(phase))["process"]["pid"]
        return pid

    def release(self, *phases: str) -> None:
        """Let these loads finish."""
        if "launch" in phases:
            self.release_lock()
        if "stop" in phases:
            self.release_stop()
        if "download" in phases:
            self.hub.faults.rate = 0
        for phase in {"wait", "launch"} & set(phases):
            self.runtime.behaves(new(phase))

    def together(self, commands: Mapping[str, tuple[Any, ...]]) -> dict[str, Answer]:
        """Run commands concurrently; each must succeed."""
        running = {key: self.studio.start("--json", *words) for key, words in commands.items()}
        answers = {key: finished(process) for key, process in running.items()}
        assert all(answer.exit == 0 for answer in answers.values()), answers
        return answers

    def follow(self, *phases: str) -> None:
        """Follow each of these jobs from a new client, and check its remaining events and its
        outcome."""
        self.release(*phases)
        for phase, answer in self.together(
            {phase: ("follow", self.jobs[phase]) for phase in phases}
        ).items():
            assert (answer.result["job"], answer.result["state"]) == (self.jobs[phase], "done")
            shown = answer.stderr
            assert answer.result.get("over") or (STEPS[phase] in shown and ": ready\n" in shown)

    def cancel(self, *phases: str) -> None:
        """Cancel each of these jobs from a new client, and check that it was rolled back."""
        running = {
            phase: self.studio.start("--json", "cancel", self.jobs[phase]) for phase in phases
        }
        for process in running.values():
            assert process.stderr and "cancelling load" in process.stderr.readline()
        if "stop" in phases:
            self.release_stop()
        self.release_lock()
        for phase, process in running.items():
            answer = finished(process)
            assert answer.exit == 0, answer
            assert (answer.result["job"], answer.result["state"]) == (self.jobs[phase], "cancelled")
            assert "cancel" in answer.result["message"]

    def told(self) -> None:
        """Check that each client that lost its link reports it, with the command that finds the
        job."""
        for phase, client in self.clients.items():
            answer = finished(client)
            if answer.exit != -signal.SIGKILL:
                assert (
                    f"`mlxops jobs --follow {self.jobs[phase]}`"
                    in refused(answer, 3, "LinkLost")["hint"]
                )

    def states(self) -> dict[str, str]:
        """The state of each job in `jobs`."""
        listed = {row["job"]: row for row in self.studio.must("jobs")["jobs"]}
        return {
            phase: f"{listed[name]['state']} {listed[name]['phase']}"
            for phase, name in self.jobs.items()
        }

    def serves(self, **expected: str) -> None:
        """Check that the port of each phase serves this model, according to every source, and that
        nothing of another model is left."""
        rows = {row["port"]: row for row in self.studio.must("status")["ports"]}
        for phase, name in expected.items():
            row = rows[self.port(phase)]
            assert (row["entry"], row["state"], row["drift"], row["job"]) == (
                name,
                "ready",
                None,
                None,
            )
            assert self.studio.ask(self.port(phase)) == f"I am tiny/{name}"
        assert self.studio.assignments() == {
            name: self.port(phase) for phase, name in expected.items()
        }
        lost = {
            f"tiny--{word(phase)}"
            for phase in PHASES
            for word in (old, new)
            if word(phase) != expected[phase]
        }
        left = living(self.studio.folder).values()
        assert not [
            line for line in left if any(name in line for name in lost) or "hub/child" in line
        ]


@contextmanager
def held_loads(
    studio: Studio, runtime: FakeRuntime, hub: FakeHub, files: Mapping[str, bytes]
) -> Iterator[HeldLoads]:
    """The loads, held until the block ends."""
    loads = HeldLoads(studio, runtime, hub)
    loads.serve_old(files)
    try:
        loads.hold()
        yield loads
    finally:
        loads.release("download", "wait", "launch")
        runtime.behaves(old("stop"))
        for client in loads.clients.values():
            client.kill()
            client.communicate()


def registry_lock(studio: Studio) -> int:
    """The registry's lock, held until this descriptor is closed."""
    held = os.open(f"{studio.registry_path}.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def agents(studio: Studio) -> set[int]:
    """The pids of the agents that run on the Studio's host."""
    return {pid for pid, line in living(studio.folder.parent).items() if bundle.LOADER in line}
