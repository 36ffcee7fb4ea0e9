"""A week of two operators: at each step `plan` says what is true, `apply` makes it as declared, and
nothing that serves right is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.fakeserver import CHAT
from tests.support.intent import (
    Served,
    applied,
    by_port,
    kill,
    nothing_to_do,
    planned,
    served,
    verdicts,
)
from tests.support.ports import free_range
from tests.support.reboots import Machine
from tests.support.studio import Answer, Studio, finished
from tests.support.watching import job

FAR = "tiny/onyx"


class Week:
    """Four ports; three of them have a declared model."""

    def __init__(self, studio: Studio, runtime: FakeRuntime, hub: FakeHub) -> None:
        self.studio, self.runtime, self.hub = studio, runtime, hub
        self.machine = Machine(studio)
        self.a, self.b, self.c, self.spare = studio.ports
        self.declared = {self.a: "tiny/amber", self.b: "tiny/jade", self.c: "tiny/topaz"}

    def begins(self) -> None:
        studio = self.studio
        studio.must("init")
        studio.declare(self.declared)
        assert verdicts(studio) == dict.fromkeys(self.declared, "load")
        assert verdicts(studio, "--to", "wanted") == {}
        assert planned(studio, self.a)[self.a]["declared"] == "tiny/amber"
        self.apply_to(*self.declared)
        assert self.names() == {self.a: "amber", self.b: "jade", self.c: "topaz"}

    def a_swap_by_hand(self) -> None:
        """What is wanted differs from what is declared, until apply."""
        studio = self.studio
        with self.untouched(self.a, self.c):
            studio.must("load", "garnet", self.b, "--replace")
            row = planned(studio)[self.b]
            assert (row["verdict"], row["live"], row["wanted"]) == ("swap", "garnet", "garnet")
            assert (row["declared"], row["entry"]) == ("tiny/jade", "jade")
            assert verdicts(studio, "--to", "wanted") == dict.fromkeys(self.declared, "same")
            assert applied(studio, "--to", "wanted").result["changes"] == 0
            self.apply_to(self.b)

    def a_try_out(self) -> None:
        """A server that nobody wants to keep is left alone, and not brought back."""
        with self.untouched(*self.declared):
            self.studio.must("load", "garnet", self.spare, "--no-keep")
            row = planned(self.studio)[self.spare]
            assert (row["verdict"], row["live"], row["wanted"]) == ("leave", "garnet", None)
            with self.untouched(self.spare):
                nothing_to_do(self.studio)

    def a_crash(self) -> None:
        studio = self.studio
        with self.untouched(self.a, self.b, self.spare):
            kill(studio, self.c)
            for _ in range(2):
                row = planned(studio)[self.c]
                assert (row["verdict"], row["live"], row["wanted"]) == ("load", None, "topaz")
                self.cron()
            assert studio.port_row(self.c)["drift"] == "lost"
            assert "; crashed" in studio.port_row(self.c)["reason"]
            self.apply_to(self.c)

    def a_reboot(self) -> None:
        """Three runs of cron later everything that was wanted comes back, and only that."""
        studio, before = self.studio, self.names()
        self.machine.reboot()
        for _ in range(3):
            self.cron()
        assert verdicts(studio) == dict.fromkeys(self.declared, "load")
        assert verdicts(studio, "--to", "wanted") == dict.fromkeys(self.declared, "load")
        drift = {row["port"]: row for row in studio.must("status")["drift"]}
        assert {port: row["drift"] for port, row in drift.items()} == dict.fromkeys(
            self.declared, "lost"
        )
        assert all("gone since the reboot of " in row["reason"] for row in drift.values()), drift
        self.apply_to(*self.declared)
        assert self.names() == {port: before[port] for port in self.declared}

    def a_second_operator(self) -> None:
        """A port under his work is blocked, and the others are not."""
        studio = self.studio
        self.runtime.behaves("tiny--garnet", hang=[CHAT])
        with self.untouched(self.b):
            theirs = studio.start("--json", "load", "garnet", self.a, "--replace")
            job(studio, self.a, "wait")
            kill(studio, self.c)
            rows = planned(studio)
            assert (rows[self.a]["verdict"], rows[self.a]["kind"]) == ("blocked", "Locked")
            assert [rows[port]["verdict"] for port in (self.b, self.c)] == ["same", "load"]
            answer = applied(studio)
            assert answer.exit == 1, answer
            ended = by_port(answer.result)
            assert ended[self.c]["ok"] and ended[self.a]["error"]["kind"] == "Locked"
            studio.must("cancel", self.a)
            assert finished(theirs).exit == 130
        self.runtime.behaves("tiny--garnet")
        assert self.names() == {self.a: "amber", self.b: "jade", self.c: "topaz"}
        nothing_to_do(studio)

    def a_hand_edit(self) -> None:
        """Two models change places in the host file: one unload, two loads."""
        studio = self.studio
        with self.untouched(self.c):
            studio.declare({**self.declared, self.a: "tiny/jade", self.b: "tiny/amber"})
            rows = planned(studio)
            assert [rows[port]["verdict"] for port in (self.a, self.b)] == ["swap", "swap"]
            assert sorted(rows[port]["unload_first"] for port in (self.a, self.b)) == [False, True]
            self.apply_to(self.a, self.b)
            assert self.names() == {self.a: "jade", self.b: "amber", self.c: "topaz"}
            studio.declare(self.declared)
            self.apply_to(self.a, self.b)

    def a_hand_edit_of_the_registry(self) -> None:
        """A port written as text is the port; two entries that want one port are a conflict."""
        studio = self.studio

        def want(name: str, port: object) -> Callable[[dict[str, Any]], None]:
            return lambda registry: registry["models"][name].update(wanted=port)

        with self.untouched(*self.declared):
            studio.edit(want("amber", str(self.a)))
            assert verdicts(studio)[self.a] == "same"
            studio.edit(want("garnet", self.a))
            row = planned(studio, "--to", "wanted")[self.a]
            assert (row["verdict"], row["kind"]) == ("blocked", "AssignmentConflict")
            assert applied(studio, "--to", "wanted").exit == 1
            studio.edit(lambda registry: registry["models"]["garnet"].pop("wanted"))

    def a_failed_download(self) -> None:
        studio = self.studio
        with self.untouched(*self.declared):
            studio.declare({**self.declared, self.spare: FAR})
            self.hub.lies.absent["tokenizer.json"] = "0" * 40
            row = planned(studio)[self.spare]
            assert row["verdict"] == "download" and row["download_bytes"] > 0, row
            answer = applied(studio, "--yes")
            assert answer.exit == 1, answer
            failed = by_port(answer.result)[self.spare]
            assert failed["error"]["kind"] == "NotDownloadable" and not failed["changed"]
            assert verdicts(studio)[self.spare] == "download"
            self.hub.lies.absent.clear()
            self.apply_to(self.spare)
            assert self.names()[self.spare] == "onyx"

    def apply_to(self, *ports: int) -> None:
        """Apply changes exactly these ports, and then there is nothing to do."""
        with self.untouched(*(port for port in served(self.studio) if port not in ports)):
            answer = applied(self.studio, "--yes")
        assert answer.exit == 0, answer
        changed = {row["port"] for row in answer.result["rows"] if row["changed"]}
        assert changed == {*ports} and answer.result["changed"]
        nothing_to_do(self.studio)

    def untouched(self, *ports: int) -> Untouched:
        return Untouched(self, ports)

    def names(self) -> dict[int, str]:
        """port -> the entry that serves and answers there."""
        rows = self.studio.must("status")["ports"]
        return {row["port"]: row["entry"] for row in rows if row["state"] == "ready"}

    def cron(self) -> Answer:
        answer = finished(self.studio.start("reconcile", "-q"))
        assert answer.exit == 0, answer
        return answer


class Untouched:
    """A context in which the servers of these ports keep running and get no signal."""

    def __init__(self, week: Week, ports: Iterable[int]) -> None:
        self._week, self._ports = week, tuple(ports)
        self._before: dict[int, Served] = {}

    def __enter__(self) -> None:
        self._before = served(self._week.studio, self._ports) if self._ports else {}
        assert set(self._before) == set(self._ports)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._ports:
            assert served(self._week.studio, self._ports) == self._before
            pids = {one.pid for one in self._before.values()}
            signalled = {record["pid"] for record in self._week.runtime.journal("signal")}
            assert not pids & signalled


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    write_cache(tmp_path / "remote", FAR, model_files([" ONYX"], seed=9))
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.fixture
def week(
    make_studio: Callable[..., Studio], fake_runtime: FakeRuntime, hub: FakeHub, tmp_path: Path
) -> Week:
    env = {"HF_ENDPOINT": hub.url, "HOME": str(tmp_path / "home")}
    studio = make_studio(None, fake_runtime.table(grace_s=3), ports=free_range(4), env=env)
    studio.add("tiny/garnet", model_files([" GARNET"], seed=8))
    return Week(studio, fake_runtime, hub)


@pytest.mark.slow
def test_a_week(week: Week) -> None:
    week.begins()
    week.a_swap_by_hand()
    week.a_try_out()
    week.a_crash()
    week.a_reboot()
    week.a_second_operator()
    week.a_hand_edit()
    week.a_hand_edit_of_the_registry()
    week.a_failed_download()
    nothing_to_do(week.studio)
