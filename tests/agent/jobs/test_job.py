"""What a port's lock says about a load that was killed, and when it stops saying so. Runs on Python
3.9 too."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.clock import utc
from mlxops.agent.errors import Failed, Locked, MlxopsError
from mlxops.agent.jobs import job as jobs
from mlxops.agent.jobs import log as joblog
from mlxops.agent.jobs.job import Job, interrupted_load, lock_path
from mlxops.agent.jobs.log import STAMP, log_path
from mlxops.agent.jobs.reservations import reserving_jobs
from mlxops.agent.wire.client import ClientLink
from tests.support.writers import LOAD, ended, running

PORT = 8100
WEEK_S = 7 * 86400


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "registry.json")


@contextlib.contextmanager
def job(path: str, settles: bool = True, **held: Any) -> Iterator[Job]:
    with open(os.devnull, "rb") as nothing, open(os.devnull, "wb") as nowhere:
        client = ClientLink(nowhere.fileno(), nothing)
        told = {"who": "bob", "from": "mini", "why": "unload 8100", "port": PORT, **held}
        with Job(client, path, os.path.dirname(path), told, settles) as work:
            yield work


@pytest.fixture
def cut(path: str) -> dict[str, Any]:
    with running(LOAD, path, "alice"):
        pass
    found = interrupted_load(path, PORT)
    assert found
    return found


def test_a_killed_load_is_told_with_how_far_it_came(path: str, cut: dict[str, Any]):
    told = {
        "who": "alice",
        "from": "mini",
        "why": "load a 8100",
        "phase": "stop",
        "again": "mlxops load a 8100",
    }
    assert cut.items() >= {**told, "entries": ["a"]}.items()
    assert jobs.holder(path, PORT) is None and reserving_jobs(path) == {}


def test_a_load_that_runs_or_came_to_its_end_is_not(path: str):
    assert interrupted_load(path, PORT) is None
    with running(LOAD, path, "alice") as load:
        assert interrupted_load(path, PORT) is None
        assert [(port, held["entries"]) for port, held in reserving_jobs(path).items()] == [
            (PORT, ["a"])
        ]
        load.stdin.write("\n")
        ended(load)
    assert interrupted_load(path, PORT) is None and reserving_jobs(path) == {}


def test_whoever_settles_the_port_ends_it(path: str, cut: dict[str, Any]):
    with job(path):
        assert interrupted_load(path, PORT) is None
    assert interrupted_load(path, PORT) is None


def test_what_only_clears_up_or_fails_leaves_it_standing(path: str, cut: dict[str, Any]):
    for _ in range(2):
        with job(path, settles=False, why="reconcile"):
            pass
        with pytest.raises(Failed), job(path, why="load b 8100", again="mlxops load b 8100"):
            raise Failed("no memory")
    assert interrupted_load(path, PORT) == cut


def test_of_two_that_died_the_last_one_is_told(path: str, cut: dict[str, Any]):
    with running(LOAD, path, "carol"):
        pass
    found = interrupted_load(path, PORT)
    assert found and found["who"] == "carol" and "cut" not in found


def test_after_a_week_it_is_old_news(path: str, cut: dict[str, Any]):
    for age_s, told in ((WEEK_S - 60, True), (WEEK_S + 60, False)):
        since = {"since": utc(time.time() - age_s)}
        Path(lock_path(path, PORT)).write_text(json.dumps({**cut, **since}))
        assert (interrupted_load(path, PORT) is not None) == told


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"cut": 7}', '{"cut": {}}', '{"again": "x"}', '{"who": "a", "phase": "stop"}'],
)
def test_a_lock_that_says_something_else_tells_of_no_load(path: str, text: str):
    """Also a lock left by a version that did not record when it ended."""
    Path(lock_path(path, PORT)).write_text(text)
    assert interrupted_load(path, PORT) is None


def test_jobs_on_any_port_are_found_and_other_files_are_not(path: str):
    for name in (
        "registry.json.lock",
        "registry.json.81x0.lock",
        "registry.json.8100.lock.old",
        "registry.json.bak",
    ):
        Path(path).with_name(name).write_text("{}")
    with job(path, port=9999) as work:
        assert reserving_jobs(path) == {}
        work.reserve(["a", "b"])
        assert {port: held["entries"] for port, held in reserving_jobs(path).items()} == {
            9999: ["a", "b"]
        }
        with pytest.raises(Locked), job(path, port=9999):
            pass


class Broken(ClientLink):
    """A client that cannot be written to, and raises an exception that no code expects."""

    def emit(self, name: str, **fields: Any) -> None:
        raise RuntimeError("unforeseen")


def test_a_job_that_cannot_even_say_its_name_leaves_the_port_free(path: str):
    with open(os.devnull, "rb") as nothing, open(os.devnull, "wb") as nowhere:
        broken = Job(
            Broken(nowhere.fileno(), nothing), path, os.path.dirname(path), {"port": PORT}, True
        )
        with pytest.raises(RuntimeError), broken:
            pass
    with job(path):
        pass


@pytest.mark.parametrize("step", ["_append", "_set_text"])
def test_an_unforeseen_error_at_its_end_leaves_the_port_free(
    path: str, step: str, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("unforeseen")

    with pytest.raises(RuntimeError, match="unforeseen"), job(path) as work:
        monkeypatch.setattr(work, step, broken)
    with job(path):
        pass


def test_a_load_that_cannot_write_its_log_leaves_no_mark(path: str):
    Path(path).with_name("jobs").write_text("in the way")
    for _ in range(2):
        with (
            pytest.raises(MlxopsError, match="nothing was stopped"),
            job(path, why="load b 8100", again="again"),
        ):
            pass
        assert interrupted_load(path, PORT) is None and jobs.holder(path, PORT) is None


def test_a_load_that_cannot_write_its_log_leaves_the_mark_of_the_one_before(
    path: str, cut: dict[str, Any]
):
    with contextlib.suppress(OSError):
        Path(path).with_name("jobs").rename(Path(path).with_name("old"))
    Path(path).with_name("jobs").write_text("in the way")
    with (
        pytest.raises(MlxopsError, match="nothing was stopped"),
        job(path, why="load b 8100", again="again"),
    ):
        pass
    assert interrupted_load(path, PORT) == cut


def test_a_refused_load_whose_end_cannot_be_written_leaves_no_mark(
    path: str, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(Failed), job(path, why="load b 8100", again="mlxops load b 8100"):
        monkeypatch.setattr(os, "pwrite", full)
        raise Failed("no memory")
    monkeypatch.undo()
    assert interrupted_load(path, PORT) is None


def test_the_log_of_a_long_download_has_an_end(path: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "MAX_LOG_BYTES", 5000)
    with job(path) as work:
        for done in range(1000):
            work.emit("progress", phase="download", done=done, total=1000)
        work.phase("launch", "starting")
    log = Path(log_path(jobs.logs_folder(os.path.dirname(path)), work.id))
    assert log.stat().st_size < 7000
    past = joblog.read_job(str(log.parent), work.id, running=False)
    assert (past.state, past.phase) == ("done", "launch")


def test_the_logs_work_does_not_hinder_the_release(path: str, monkeypatch: pytest.MonkeyPatch):
    """A value that cannot be written as JSON does not make the port look broken."""
    with pytest.raises(TypeError), job(path) as work:
        work.emit("phase", message=object())
    with job(path):
        pass


@pytest.mark.parametrize("year", ["2000", "2096"])
def test_logs_of_a_wrong_clock_push_no_log_of_today_out(path: str, year: str):
    folder = Path(path).parent / "jobs"
    folder.mkdir()
    wrong = [folder / f"{year}0101T0000{n:02}-8100-1.jsonl" for n in range(joblog.MAX_LOGS + 4)]
    today = [
        folder / f"{time.strftime(STAMP, time.gmtime(time.time() - n))}-8100-1.jsonl"
        for n in range(9)
    ]
    for log in (*wrong, *today):
        log.touch()
    with job(path) as work:
        pass
    left = {log.name for log in folder.iterdir()}
    assert (
        left >= {log.name for log in today} | {f"{work.id}.jsonl"} and len(left) == joblog.MAX_LOGS
    )
    assert joblog.job_ids(str(folder))[0] == work.id


def test_jobs_of_one_second_are_listed_by_who_began_first_and_not_by_port(tmp_path: Path):
    ids = ["20260101T000000-8101-998", "20260101T000000-8100-1002", "20260101T000001-8100-7"]
    for name in (*ids, "20251231T235959-8103-9999"):
        (tmp_path / f"{name}.jsonl").touch()
    assert joblog.job_ids(str(tmp_path)) == [*reversed(ids), "20251231T235959-8103-9999"]
