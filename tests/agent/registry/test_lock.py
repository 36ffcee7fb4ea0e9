"""The lock between real processes. Runs on Python 3.9 too."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from mlxops.agent.clock import Deadline, wait_for
from mlxops.agent.errors import Failed, Locked
from mlxops.agent.registry import lock_queue
from mlxops.agent.registry.lock import FileLock
from tests.support.procs_actors import NOBODY, as_nobody
from tests.support.writers import (
    GREEDY,
    HOLD,
    HOLD_BEFORE_DESCRIBING,
    HOLD_WITH_CHILD,
    TALKATIVE,
    WAIT,
    running,
)

ME = {"who": "bob", "from": "laptop", "since": "one", "why": "to see"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can put on another user's eyes")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.lock")


def test_a_held_lock_says_by_whom_from_where_since_when_and_why(path: str):
    with running(HOLD, path, "alice"):
        with pytest.raises(Locked) as refused:
            FileLock(path).acquire(ME, 0.05)
        held = {"who": "alice", "from": "mini", "since": "noon", "why": "a test"}
        assert refused.value.message == "locked: a test by alice from mini since noon"
        assert (refused.value.fields["holder"], refused.value.exit_code) == (held, 6)
        assert FileLock(path).holder() == held


def test_a_refused_try_is_over_in_time_and_leaves_the_holder_alone(path: str):
    with running(HOLD, path, "alice"):
        began = time.monotonic()
        with pytest.raises(Locked):
            FileLock(path).acquire(ME, 0.2)
        assert 0.2 <= time.monotonic() - began < 2
        assert json.loads(Path(path).read_text())["who"] == "alice"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_holder_never_blocks(path: str, signum: int):
    with running(HOLD, path, "alice") as holder:
        holder.send_signal(signum)
        holder.wait()
        assert json.loads(Path(path).read_text())["who"] == "alice"
        assert FileLock(path).holder() is None
        FileLock(path).acquire(ME, 0)
    assert json.loads(Path(path).read_text()) == ME


def test_a_child_of_the_holder_does_not_inherit_the_lock(path: str):
    with running(HOLD_WITH_CHILD, path, "alice") as holder:
        child = int(holder.said)
        try:
            holder.stdout.readline()
            holder.kill()
            holder.wait()
            FileLock(path).acquire(ME, 0)
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_waits_gets_it_as_soon_as_it_is_released(path: str):
    with running(HOLD, path, "alice") as holder:
        holder.stdin.write("\n")
        holder.stdin.flush()
        FileLock(path).acquire(ME, 10)
    assert json.loads(Path(path).read_text()) == ME


def test_a_long_wait_is_told_once_with_the_holder(path: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock_queue, "LONG_WAIT_S", 0.01)
    heard: list[str] = []
    with running(HOLD, path, "alice") as holder:

        def on_wait(text: str) -> None:
            heard.append(text)
            holder.stdin.write("\n")
            holder.stdin.flush()

        FileLock(path, turn=True, on_wait=on_wait).acquire(ME, 10)
    assert heard == ["a test by alice from mini since noon"]


def test_one_who_always_comes_again_lets_those_who_wait_go_first(path: str):
    """Counted in rounds of the greedy process; with polling it would take some forty."""
    waited = []
    with running(GREEDY, path, "alice"):
        for _ in range(9):
            lock = FileLock(path, turn=True)
            assert wait_for(lambda lock=lock: lock.peek()[0], Deadline(60), interval_s=0.001)
            before = lock.peek()[1]["round"]
            lock.take(60)
            waited.append(lock.peek()[1]["round"] - before)
            lock.describe({"round": before + waited[-1]})
            lock.release()
    assert sorted(waited)[4] <= 2, waited


def test_who_gave_up_waiting_does_not_keep_it_later(path: str):
    with running(HOLD, path, "alice") as holder:
        for _ in range(3):
            with pytest.raises(Locked):
                FileLock(path, turn=True).acquire(ME, 0.05)
        holder.stdin.write("\n")
        holder.stdin.flush()
        FileLock(path, turn=True).acquire(ME, 10)
    assert json.loads(Path(path).read_text()) == ME


def test_a_waiter_that_dies_blocks_nobody(path: str):
    with running(HOLD, path, "alice") as holder:
        for name in ("bob", "carol"):
            with running(WAIT, path, name):
                pass
        holder.stdin.write("\n")
        holder.stdin.flush()
        FileLock(path, turn=True).acquire(ME, 10)


@pytest.mark.slow
def test_what_it_says_is_whole_however_often_it_changes(path: str):
    with running(TALKATIVE, path, "alice"):
        for _ in range(500):
            assert (FileLock(path).holder() or {}).get("who") == "alice"


def test_the_file_is_never_deleted_nor_replaced(path: str):
    inodes = set()
    for _ in range(3):
        lock = FileLock(path)
        lock.acquire(ME, 0)
        lock.release()
        inodes.add(os.stat(path).st_ino)
    assert len(inodes) == 1


def test_two_locks_of_one_process_exclude_each_other(path: str):
    first = FileLock(path)
    first.acquire(ME, 0)
    with pytest.raises(Locked):
        FileLock(path).acquire(ME, 0)
    first.release()
    first.release()
    FileLock(path).acquire(ME, 0)


def test_a_shorter_description_leaves_nothing_of_the_longer_one(path: str):
    lock = FileLock(path)
    lock.acquire({**ME, "why": "x" * 500}, 0)
    lock.describe(ME)
    assert json.loads(Path(path).read_text()) == ME


def test_looking_neither_creates_nor_takes_the_lock(path: str):
    assert FileLock(path).holder() is None
    assert not Path(path).exists()
    Path(path).write_text("")
    assert FileLock(path).holder() is None
    FileLock(path).acquire(ME, 0)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b'{"who": "al', b"7"])
def test_of_a_lock_file_that_says_nothing_the_holder_is_found_by_its_process(
    path: str, text: bytes
):
    with running(HOLD, path, "alice") as holder:
        Path(path).write_bytes(text)
        found = FileLock(path).holder()
        assert found and found["outsider"] and found["pid"] == holder.pid
        with pytest.raises(
            Locked, match=rf"locked: held by pid {holder.pid} \(.*python.*\) of user"
        ):
            FileLock(path).acquire(ME, 0)


@pytest.mark.parametrize("old", ["", '{"who": "carol", "pid": 1}'])
def test_a_holder_that_has_not_described_itself_yet_is_waited_for(path: str, old: str):
    Path(path).write_text(old)
    holder = "locked: a test by alice from mini since noon"
    with running(HOLD_BEFORE_DESCRIBING, path, "alice"), pytest.raises(Locked, match=holder):
        FileLock(path).acquire(ME, 0)


def test_a_folder_that_is_not_there_is_a_clear_failure(tmp_path: Path):
    with pytest.raises(Failed, match="cannot open the lock"):
        FileLock(str(tmp_path / "no" / "x.lock")).acquire(ME, 0)


@as_root
def test_a_lock_made_by_root_does_not_shut_out_the_owner_of_the_folder(tmp_path: Path):
    """Otherwise every command of the user would fail after one with sudo."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(folder, stat.S_IMODE(folder.stat().st_mode) | 0o011)
    folder = tmp_path / "hub"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    lock = FileLock(str(folder / "x.lock"))
    lock.acquire(ME, 0)
    lock.release()

    def acquire() -> str:
        FileLock(str(folder / "x.lock")).acquire({**ME, "who": "nobody"}, 0)
        return "taken"

    assert as_nobody(acquire) == "taken"
    assert json.loads((folder / "x.lock").read_text())["who"] == "nobody"


def test_what_is_no_file_is_refused_at_once(path: str) -> None:
    os.mkfifo(path)
    for use in (lambda: FileLock(path).peek(), lambda: FileLock(path).acquire({}, 0)):
        with pytest.raises(Failed, match="is a folder or device, not a file"):
            use()


def test_what_befalls_the_waiter_is_told_to_who_waits(path: str, monkeypatch: pytest.MonkeyPatch):
    def fail(fd: int, kind: int):
        raise BlockingIOError if kind & fcntl.LOCK_NB else MemoryError

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(MemoryError):
        FileLock(path).acquire({}, 5)


def no_threads(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_started_the_lock_is_waited_for_all_the_same(
    path: str, monkeypatch: pytest.MonkeyPatch
):
    before = len(os.listdir("/proc/self/fd"))
    with running(HOLD, path, "alice"):
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", no_threads)
            with pytest.raises(Locked):
                FileLock(path, turn=True).acquire(ME, 0.2)
        assert len(os.listdir("/proc/self/fd")) <= before + 3  # those of the pipes to alice
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    lock = FileLock(path, turn=True)
    lock.acquire(ME, 1)
    lock.release()
    assert len(os.listdir("/proc/self/fd")) == before
