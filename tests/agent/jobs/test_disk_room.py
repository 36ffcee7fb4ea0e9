"""Disk space that is reserved before it is needed. Runs on Python 3.9 too."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.errors import Failed, NotEnoughDisk, write_error
from mlxops.agent.jobs import job as jobs
from mlxops.agent.jobs import log as joblog
from mlxops.agent.jobs.begin import begin
from mlxops.agent.jobs.disk_space import (
    LOAD_EDITS,
    LOG_BYTES,
    PREFIX,
    disk_reservation,
    disk_space_error,
)
from mlxops.agent.procs import local_procs
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.servers.launch import prepare_files, prepare_files_or_discard
from tests.support.launching import Launcher, context
from tests.support.smalldisk import SmallDisk, read_only

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def work(disk: SmallDisk, tmp_path: Path) -> Iterator[Context]:
    """A command on a host whose registry and state folder are on the small disk."""
    launcher = Launcher(disk.place, "mlx-openai-server")
    with context(launcher, disk.place, launcher.procs) as made:
        add(made, "amber")
        yield made
    launcher.end()


class Unable:
    """A machine whose file systems cannot allocate blocks behind the end of a file."""

    def __init__(self) -> None:
        self._procs = local_procs()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._procs, name)

    def reserve(self, fd: int, size: int) -> bool:
        return False


def add(made: Context, name: str) -> None:
    made.store.edit(
        "add " + name, lambda now: now.put(Entry(name, {**REQUIRED, "notes": "x" * 1000}))
    )


def left(disk: SmallDisk) -> list[str]:
    return [path.name for path in disk.place.rglob("*") if PREFIX in path.name]


def port(made: Context) -> int:
    return next(iter(made.site.ports))


@as_root
def test_what_was_taken_suffices_when_the_disk_is_full(work: Context, disk: SmallDisk):
    history = disk.place / "registry.history.jsonl"
    with (
        disk_reservation(work) as room,
        begin(work, port(work), "load", again="mlxops load") as job,
    ):
        room.reserve(port(work), LOAD_EDITS, servers=2)
        room.reserve_job_log(job.log)
        disk.fill()
        for number in range(LOAD_EDITS):
            add(work, f"model{number}")
        for _ in range(2):
            with prepare_files(
                work.site.state_dir, port(work), room.take_log(port(work))
            ).log as log:
                assert log.write(b"x" * (LOG_BYTES - 4096)) and log.flush() is None
        for number in range(50):
            job.phase("wait", f"still loading, {number} s")
    assert len(work.store.read().entries) == LOAD_EDITS + 1
    assert len(history.read_text().splitlines()) == LOAD_EDITS + 1
    told = joblog.read_jobs(os.path.dirname(job.log), [])[0]
    assert (told.state, told.begin_event["who"], told.phase) == ("done", work.who["who"], "wait")
    assert left(disk) == [] and work.store.drafts == []


@as_root
@pytest.mark.parametrize("able", [True, False])
def test_no_room_is_told_and_what_was_begun_is_removed(work: Context, disk: SmallDisk, able: bool):
    """Also on a file system that cannot allocate blocks without content."""
    made = work if able else work._replace(procs=Unable())  # type: ignore[arg-type]
    assert disk_space_error(made, port(work)) is None and left(disk) == []
    disk.fill(leave=64 << 10)
    refused = disk_space_error(made, port(work))
    assert isinstance(refused, NotEnoughDisk) and str(disk.place) in refused.message, refused
    with pytest.raises(NotEnoughDisk, match="nothing was stopped"), disk_reservation(made) as room:
        room.reserve(port(work), LOAD_EDITS, servers=2)
    assert left(disk) == [] and work.store.drafts == []


@as_root
def test_a_disk_that_changed_since_is_told(work: Context, disk: SmallDisk):
    with disk_reservation(work) as room:
        room.reserve(port(work), LOAD_EDITS, servers=2)
        room.check_writable()
        with read_only(disk.place), pytest.raises(Failed, match="Read-only file system"):
            room.check_writable()


@as_root
def test_a_start_back_depends_on_no_disk(work: Context, disk: SmallDisk):
    with read_only(disk.place):
        where = prepare_files_or_discard(work.site.state_dir, port(work))
        with where.log as log:
            assert (
                log.name == os.devnull
                and "Read-only" in where.log_error
                and os.path.isdir(where.folder)
            )


@as_root
def test_what_a_killed_load_left_is_taken_over(work: Context, disk: SmallDisk):
    first = disk_reservation(work)
    first.reserve(port(work), LOAD_EDITS, servers=2)
    planted = disk.place / "secret"
    planted.write_text("others")
    taken = Path(work.store.drafts[0])
    taken.unlink()
    taken.symlink_to(planted)
    work.store.drafts.clear()
    with disk_reservation(work) as room:
        room.reserve(port(work), LOAD_EDITS, servers=2)
        add(work, "jade")
    assert (
        left(disk) == [] and planted.read_text() == "others" and "jade" in work.store.read().entries
    )
    first.__exit__()


@as_root
def test_a_load_that_cannot_be_described_is_not_begun_and_an_unload_is(
    work: Context, disk: SmallDisk
):
    disk.fill()
    folder = jobs.logs_folder(work.site.state_dir)
    before = joblog.job_ids(folder)
    with (
        pytest.raises(NotEnoughDisk, match="nothing was stopped"),
        begin(work, port(work), "load", again="mlxops load"),
    ):
        raise AssertionError("it was begun")
    with begin(work, port(work), "unload") as job:
        job.phase("stop", "stopping")
        disk.free()
        job.phase("stop", "still stopping")
    (name,) = set(joblog.job_ids(folder)) - set(before)
    assert joblog.read_job(folder, name, False).begin_event["why"] == "unload"


def test_a_log_without_a_beginning_is_told_by_its_name(tmp_path: Path):
    (tmp_path / "20261128T093000-8100-77.jsonl").write_text(
        json.dumps({"event": "end", "error": None}) + "\n"
    )
    told = joblog.read_jobs(str(tmp_path), [])[0].to_wire()
    assert (told["port"], told["since"], told["state"]) == (8100, "2026-11-28T09:30:00Z", "done")


CASES: dict[int, tuple[type, str]] = {
    errno.ENOSPC: (NotEnoughDisk, "df -h"),
    errno.EDQUOT: (NotEnoughDisk, "quota"),
    errno.EFBIG: (NotEnoughDisk, "ulimit -f"),
    errno.EROFS: (Failed, "for writing"),
    errno.EACCES: (Failed, "ls -ld"),
}


@pytest.mark.parametrize("number", CASES)
def test_an_error_of_the_disk_says_what_to_do(number: int, tmp_path: Path):
    kind, step = CASES[number]
    error: Any = write_error(OSError(number, os.strerror(number)), str(tmp_path / "file"))
    assert type(error) is kind and step in error.hint and str(tmp_path / "file") in error.message
    assert error.exit_code == (10 if kind is NotEnoughDisk else 1)
