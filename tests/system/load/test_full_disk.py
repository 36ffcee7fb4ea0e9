"""A full disk: no server is stopped for a load that cannot end, and a stopped one is restored."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.ports import is_free
from tests.support.smalldisk import SmallDisk, read_only
from tests.support.studio import ROOT, Studio, finished
from tests.support.watching import job

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
PLACES = {"registry": ("hf",), "state": ("state",), "both": ("hf", "state")}


@pytest.fixture(params=PLACES)
def disks(request: Any, tmp_path: Path) -> Iterator[list[SmallDisk]]:
    """Below the registry, below the state folder, or below each of them."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(SmallDisk(tmp_path / "studio0" / name))
            for name in PLACES[request.param]
        ]


@pytest.fixture
def serving(
    disks: Sequence[SmallDisk],
    make_studio: Callable[..., Studio],
    studio_runtime: Any,
    init_copies: InitCopies,
) -> Iterator[Studio]:
    """amber serves on the first port of a local host."""
    studio = make_studio(None, studio_runtime)
    init_copies.init(studio)
    studio.must("load", "amber", studio.ports[0])
    yield studio
    for disk in disks:
        disk.free()
    studio.mlxops("unload-all", "--grace", 5)


def answers(studio: Studio, name: str = "amber") -> bool:
    port = studio.ports[0]
    return studio.ask(port, studio.slot(port)) == f"I am tiny/{name}"


def left(studio: Studio) -> list[Path]:
    return [path for path in studio.folder.rglob("*") if ".room-" in path.name]


def assert_refused(studio: Studio, *words: object) -> dict[str, Any]:
    """A load of jade, and its dry run, end before anything is stopped, with an error about a file
    on one of the disks."""
    for more in (("--dry-run",), ()):
        answer = studio.mlxops("load", "jade", studio.ports[0], "--replace", *words, *more)
        assert answer.exit == 10 and answer.error["kind"] == "NotEnoughDisk", answer
    assert answers(studio) and left(studio) == []
    return answer.error


FAULTS: dict[str, Callable[[SmallDisk], None]] = {
    "no bytes": lambda disk: disk.fill(),
    "few bytes": lambda disk: disk.fill(leave=24 << 10),
    "no inodes": lambda disk: disk.use_up_inodes(),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", FAULTS)
def test_no_room_is_told_before_anything_is_stopped(
    how: str, serving: Studio, disks: Sequence[SmallDisk], fake_runtime: FakeRuntime
) -> None:
    port, before = serving.ports[0], serving.entry("amber")
    for disk in disks:
        FAULTS[how](disk)
    error = assert_refused(serving)
    assert "No space left on device" in error["message"] and "df -i" in error["hint"]
    assert any(str(disk.place) in error["message"] for disk in disks)
    assert fake_runtime.journal("signal") == [] and serving.entry("amber") == before
    checks = serving.mlxops("doctor").document["result"]["checks"]
    assert any(row["check"] == "disk" and row["verdict"] == "wrong" for row in checks)
    told = [
        job for job in serving.must("jobs")["jobs"] if job["who"] is None or job["port"] != port
    ]
    assert told == []
    for disk in disks:
        disk.free()
    assert "died" not in str(serving.must("status", port))
    serving.must("load", "jade", port, "--replace")
    assert answers(serving, "jade") and left(serving) == []


@pytest.fixture
def amber(
    make_studio: Callable[..., Studio], studio_runtime: Any, init_copies: InitCopies
) -> Studio:
    """As `serving`, on the disk of the tests."""
    studio = make_studio(None, studio_runtime)
    init_copies.init(studio)
    studio.must("load", "amber", studio.ports[0])
    return studio


def test_a_limit_on_the_size_of_files_is_told_before_anything_is_stopped(
    amber: Studio, fake_runtime: FakeRuntime
) -> None:
    words = [*amber.argv("--json", "load", "jade", amber.ports[0], "--replace")]
    limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", *words]
    ended = subprocess.run(
        limited, capture_output=True, text=True, env={**os.environ, **amber.env}, cwd=ROOT
    )
    assert ended.returncode == 10, ended
    assert "ulimit -f" in ended.stdout and "File too large" in ended.stdout
    assert fake_runtime.journal("signal") == [] and answers(amber) and left(amber) == []


def test_disks_that_were_remounted_read_only_stop_nothing(
    amber: Studio, fake_runtime: FakeRuntime
) -> None:
    for folder in (amber.hub, amber.state_dir):
        with read_only(folder):
            answer = amber.mlxops("load", "jade", amber.ports[0], "--replace")
        assert answer.exit == 1 and "Read-only file system" in answer.error["message"], answer
        assert str(folder) in answer.error["message"] and "for writing" in answer.error["hint"]
        assert fake_runtime.journal("signal") == [] and answers(amber)


NEVER = {"load_s": 1000.0}


@pytest.mark.slow
def test_a_disk_that_fills_after_the_stop_hinders_no_rollback(
    serving: Studio, disks: Sequence[SmallDisk], fake_runtime: FakeRuntime
) -> None:
    """Space was reserved: the rollback is recorded, and the previous server has a log."""
    port = serving.ports[0]
    fake_runtime.behaves("tiny--jade", **NEVER)
    loading = serving.start("--json", "load", "jade", port, "--replace", "--timeout", 4)
    job(serving, port, "wait")
    for disk in disks:
        disk.fill()
    answer = finished(loading)
    assert answer.exit == 8 and answer.error["rollback"] == "amber serves again", answer
    full = str(serving.state_dir) in [str(disk.place) for disk in disks]
    assert ("the disk of its log is full" in answer.error["message"]) == full
    assert answers(serving) and serving.assignments() == {"amber": port} and left(serving) == []
    row = serving.port_row(port)
    assert (row["state"], row["drift"], row["pid"]) == (
        "ready",
        None,
        serving.entry("amber")["process"]["pid"],
    )
    newest = serving.must("jobs")["jobs"][0]
    assert (newest["state"], newest["port"], newest["why"]) == ("failed", port, f"load jade {port}")
    assert serving.must("logs", port)["lines"]


@pytest.mark.slow
@pytest.mark.parametrize("next_command", ["reconcile", "init", "load"])
def test_what_could_not_be_noted_serves_and_is_noted_by_the_next_command(
    next_command: str, amber: Studio, fake_runtime: FakeRuntime
) -> None:
    port = amber.ports[0]
    before = amber.entry("amber")["process"]
    fake_runtime.behaves("tiny--jade", **NEVER)
    loading = amber.start("--json", "load", "jade", port, "--replace", "--timeout", 3)
    job(amber, port, "wait")
    with read_only(amber.hub, amber.state_dir):
        answer = finished(loading)
        assert answer.exit == 8 and answer.error["rollback"].startswith(
            "amber serves again, but"
        ), answer
        assert "mlxops reconcile" in answer.error["rollback"] and answers(amber)
    row = amber.port_row(port)
    assert (row["state"], row["drift"]) == ("ready", "mismatch") and amber.assignments() == {
        "jade": port
    }
    if next_command == "load":
        assert amber.must("load", "amber", port)["changed"] is False
    else:
        actions = amber.must(next_command)["actions"]
        assert [(a["action"], a["entry"], a["port"], a["applied"]) for a in actions] == [
            ("note", "amber", port, True)
        ]
    assert amber.assignments() == {"amber": port} and answers(amber)
    process = amber.entry("amber")["process"]
    assert (process["pid"], process["argv"]) == (row["pid"], before["argv"]) and process["ready_at"]
    assert len(fake_runtime.journal("started")) == 3
    told = amber.must("reconcile")
    assert (told["actions"], told["drift"]) == ([], [])
    amber.must("unload", port)


def test_a_port_can_be_freed_on_a_full_disk(serving: Studio, disks: Sequence[SmallDisk]) -> None:
    port = serving.ports[0]
    for disk in disks:
        disk.fill()
    answer = serving.mlxops("unload", port)
    assert is_free(port)
    if serving.hub.parent not in [disk.place for disk in disks]:
        assert answer.exit == 0 and serving.assignments() == {}, answer
        return
    assert answer.exit == 10 and answer.error["stopped"] is True, answer
    assert "is free" in answer.error["message"] and f"mlxops unload {port}" in answer.error["hint"]
    row = serving.port_row(port)
    assert (row["state"], row["drift"]) == ("failed", "stale")
    for disk in disks:
        disk.free()
    serving.must("unload", port)
    assert serving.assignments() == {}
