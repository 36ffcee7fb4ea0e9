"""Reads end with their client, also on the host; an unload continues; a slow link loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlxops import session
from mlxops.demo.tinymodel import model_files, write_cache
from mlxops.hosts import files as hosts
from tests.support.cutlink import CutLink
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.fakeserver import CHAT
from tests.support.heldloads import agents, registry_lock
from tests.support.padding import padding
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job, refused

pytestmark = [pytest.mark.openssh, pytest.mark.slow]
FAR_S = 0.3
BYTES = 24 << 20
ENDS_WITHIN_S = 10


def load_all(studio: Studio, *names: str) -> None:
    """The first on the first port, and so on, all at once."""
    loads = [
        studio.start("--json", "load", name, port)
        for name, port in zip(names, studio.ports, strict=False)
    ]
    assert [finished(load).exit for load in loads] == [0] * len(names)


class Busy:
    """A Studio with four reads and an unload under way, none of which comes to its end by itself.

    amber answers no chat, which a status puts it to; jade is dead, and the reconcile that found it
    waits for the registry's lock; topaz is to be unloaded and heeds no SIGTERM."""

    def __init__(self, studio: Studio, runtime: FakeRuntime) -> None:
        self.studio, self.runtime = studio, runtime
        self.clients: list[subprocess.Popen[str]] = []
        self.reads: dict[str, subprocess.Popen[str]] = {}
        self.job = self.reconcile = ""
        self._lock = -1

    def begin(self) -> None:
        studio, runtime = self.studio, self.runtime
        load_all(studio, "amber", "jade", "topaz")
        os.kill(studio.entry("jade")["process"]["pid"], signal.SIGKILL)
        runtime.behaves("tiny--topaz", ignore=["TERM"])
        self.unload = self._start("unload", studio.ports[2], "--grace", 600)
        self.job = str(job(studio, studio.ports[2], "stop")["job"])
        self._lock = registry_lock(studio)
        for words in self._reads():
            self.reads[words[0]] = self._start(*words)
        self.reconcile = str(job(studio, studio.ports[1], "claim")["job"])
        runtime.behaves("tiny--amber", hang=[CHAT])
        chats = self._chats()
        self.reads["status"] = self._start("status", "--deep", "--timeout", 600)
        eventually(lambda: self._chats() > chats)
        # The two that talk have said something.
        for name in ("logs", "follow"):
            stderr = self.reads[name].stderr
            assert stderr and stderr.readline()

    def _start(self, *words: Any) -> subprocess.Popen[str]:
        self.clients.append(self.studio.start("--json", *words))
        return self.clients[-1]

    def _reads(self) -> Iterator[tuple[Any, ...]]:
        yield ("reconcile",)
        yield "logs", self.studio.ports[0], "-f"
        yield "follow", self.job

    def _chats(self) -> int:
        return len([seen for seen in self.runtime.journal("request") if seen["path"] == CHAT])

    def end(self) -> None:
        """Once or more often; also where it never began as a whole."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1
        for client in self.clients:
            client.kill()
            client.communicate()
        self.clients = []


@pytest.fixture
def busy(far_studio: Studio, fake_runtime: FakeRuntime) -> Iterator[Busy]:
    far_studio.must("init")
    made = Busy(far_studio, fake_runtime)
    try:
        made.begin()
        yield made
    finally:
        made.end()
        for name in ("amber", "topaz"):
            fake_runtime.behaves(f"tiny--{name}")


def kill(busy: Busy, link: CutLink) -> None:
    for client in busy.clients:
        client.kill()


CUTS: dict[str, Callable[[Busy, CutLink], None]] = {
    "killed": kill,
    "reset": lambda _, link: link.reset(),
    "half-closed": lambda _, link: link.half_close(),
}


@pytest.mark.parametrize("cut", CUTS)
def test_reads_end_with_their_client_and_an_unload_does_not(
    busy: Busy, link: CutLink, cut: str
) -> None:
    studio = busy.studio
    before = studio.registry_path.read_bytes()
    CUTS[cut](busy, link)
    working = int(busy.job.rsplit("-", 1)[1])
    eventually(lambda: agents(studio) == {working}, ENDS_WITHIN_S)
    if cut != "killed":
        told(busy)
    busy.end()
    assert studio.registry_path.read_bytes() == before

    os.kill(studio.entry("topaz")["process"]["pid"], signal.SIGINT)
    assert studio.must("follow", busy.job)["state"] == "done"
    busy.runtime.behaves("tiny--amber")
    cleared = studio.must("reconcile")["actions"]
    assert [(action["entry"], action["applied"]) for action in cleared] == [("jade", True)]
    assert (
        studio.assignments() == {"amber": studio.ports[0]}
        and studio.ask(studio.ports[0]) == "I am tiny/amber"
    )


def told(busy: Busy) -> None:
    """Each client says that its link broke, and where to look."""
    hints = {
        name: refused(finished(client), 3, "LinkLost")["hint"]
        for name, client in busy.reads.items()
    }
    assert f"`mlxops jobs --follow {busy.reconcile}`" in hints.pop("reconcile")
    assert f"`mlxops jobs --follow {busy.job}`" in hints.pop("follow")
    assert all("`mlxops jobs`" in hint for hint in hints.values())
    assert (
        f"`mlxops jobs --follow {busy.job}`"
        in refused(finished(busy.unload), 3, "LinkLost")["hint"]
    )


@pytest.fixture
def far_away(far_studio: Studio, link: CutLink, empty_hub: FakeHub) -> Studio:
    """amber and jade serve, onyx is to be had; from now on every byte takes a while."""
    write_cache(
        empty_hub.root,
        "tiny/onyx",
        {**model_files([" ONYX"]), "padding.safetensors": padding(BYTES)},
    )
    far_studio.must("init")
    load_all(far_studio, "amber", "jade")
    link.delay_s = FAR_S
    return far_studio


def test_over_a_slow_link_everything_works_and_progress_flows(
    far_away: Studio, empty_hub: FakeHub
) -> None:
    port, other = far_away.ports[:2]
    seen: list[dict[str, Any]] = []
    empty_hub.faults.rate = BYTES // 6
    others: dict[str, subprocess.Popen[str]] = {}

    def on_event(event: dict[str, Any]) -> None:
        seen.append(event)
        if event["event"] == "job":
            for words in (
                ("list",),
                ("status",),
                ("reconcile",),
                ("logs", port),
                ("unload", other),
                ("follow", event["job"]),
            ):
                others[words[0]] = far_away.start("--json", *words)
        if event["event"] == "progress" and event["done"] > 0 and empty_hub.faults.rate:
            # The news of it came while the Hub was still sending.
            assert empty_hub.sent < BYTES
            empty_hub.faults.rate = 0

    host = hosts.find_host("studio", str(far_away.hosts_dir))
    result = session.call(
        host, "load", {"model": "tiny/onyx", "port": port, "replace": True}, on_event
    )
    assert result["state"] == "ready" and empty_hub.faults.rate == 0
    phases = [event["phase"] for event in seen if event["event"] == "phase"]
    assert list(dict.fromkeys(phases)) == [
        "preflight",
        "download",
        "prepare",
        "stop",
        "launch",
        "wait",
        "commit",
    ]
    answers = {name: finished(process) for name, process in others.items()}
    assert {name: answer.exit for name, answer in answers.items()} == dict.fromkeys(others, 0), (
        answers
    )
    assert answers["follow"].result["state"] == "done"
    assert far_away.assignments() == {"onyx": port} and far_away.ask(port) == "I am tiny/onyx"
