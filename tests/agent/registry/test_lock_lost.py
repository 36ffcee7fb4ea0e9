"""Lock files that a person removes while they are held or awaited, and locks held in other ways.
Runs on Python 3.9 too."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.agent.errors import Locked
from mlxops.agent.jobs.job import lock_path
from mlxops.agent.registry.entries import parse
from mlxops.agent.registry.lock import FileLock
from tests.support.writers import ADD, HOLD, WAIT, ended, running, start

ME = {"who": "bob", "from": "laptop", "since": "one", "why": "to see", "pid": os.getpid()}
WRITERS, EDITS = 8, 25
SHARED = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.lock")


@contextlib.contextmanager
def sharing(path: str) -> Iterator[int]:
    """A process that holds the lock as readers do; returns its pid."""
    import subprocess

    argv = [sys.executable, "-c", SHARED, path]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"held\n"
        try:
            yield child.pid
        finally:
            child.kill()


def test_no_edit_is_lost_while_the_lock_is_removed_all_the_time(tmp_path: Path):
    """A person who reads "locked" may run `rm *.lock`."""
    path = tmp_path / "registry.json"
    writers = [start(ADD, path, f"writer{number}", EDITS) for number in range(WRITERS)]
    while any(writer.poll() is None for writer in writers):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.lock")
        time.sleep(0.002)
    for writer in writers:
        ended(writer)
    wanted = {f"writer{writer}-{edit}" for writer in range(WRITERS) for edit in range(EDITS)}
    assert set(parse(path.read_bytes()).entries) == wanted
    assert len(path.with_suffix(".history.jsonl").read_text().splitlines()) == WRITERS * EDITS
    assert [name for name in os.listdir(tmp_path) if ".tmp" in name] == []


@pytest.mark.parametrize("replaced", [False, True])
def test_who_waited_for_a_file_that_is_gone_takes_the_new_one(path: str, replaced: bool):
    with running(HOLD, path, "alice") as holder, running(WAIT, path, "carol") as waiting:
        time.sleep(0.2)
        os.unlink(path)
        if replaced:
            Path(path).write_text("")
        holder.communicate("\n")
        assert waiting.wait(20) == 0
    assert '"carol"' in Path(path).read_text()


def test_a_holder_can_tell_that_its_lock_is_lost(path: str):
    lock = FileLock(path)
    assert not lock.lost
    lock.acquire(ME, 0)
    assert not lock.lost
    os.unlink(path)
    assert lock.lost
    Path(path).write_text("")
    assert lock.lost


@pytest.fixture
def ended_job(path: str) -> str:
    lock = FileLock(path)
    lock.acquire({**ME, "why": "load a 8100", "job": "1-8100-1", "ended": "two"}, 0)
    lock.release()
    return path


def test_one_who_holds_it_shared_is_told_and_not_the_one_before(ended_job: str):
    with sharing(ended_job) as pid:
        user = pwd.getpwuid(os.geteuid()).pw_name
        with pytest.raises(Locked, match=f"held by pid {pid} .* of user {user}") as refused:
            FileLock(ended_job).acquire(ME, 0.05)
        assert refused.value.fields["holder"]["pid"] == pid and str(pid) in refused.value.hint
        found = FileLock(ended_job).holder(shared=True)
        assert found and (found["pid"], found["outsider"]) == (pid, True)
    assert FileLock(ended_job).holder(shared=True) is None


def test_another_look_is_no_holder(ended_job: str):
    """Also with many readers at the same time."""
    child = """
import sys
from mlxops.agent.registry.lock import FileLock
for _ in range(300):
    assert FileLock(path).holder(shared=True) is None, "held"
"""
    for looker in [start(child, ended_job, "x") for _ in range(4)]:
        ended(looker)


def test_a_lock_of_another_account_is_looked_at_without_an_error(path: str):
    FileLock(path).acquire(ME, 0)
    os.chmod(path, 0)
    if os.geteuid() == 0:
        from tests.support.procs_actors import as_nobody

        os.chmod(os.path.dirname(path), 0o755)
        assert as_nobody(lambda: str(FileLock(path).peek())) == "(False, {})"


JOB = """
from mlxops.agent.jobs.job import Job
from mlxops.agent.wire.client import ClientLink
from mlxops.agent.procs import local_procs
own = local_procs().process(os.getpid())
held = {"who": name, "from": "mini", "why": "load a 8100", "port": 8100}
held["start_time"] = own.start_time
client = ClientLink(os.open(os.devnull, os.O_WRONLY), sys.stdin.buffer)
try:
    with Job(client, path, os.path.dirname(path), held, True) as job:
        print("works", flush=True)
        for line in sys.stdin:
            job.phase("wait", line)
            print("said", flush=True)
except Locked as exc:
    print(exc.message, flush=True)
"""


def test_a_job_whose_lock_file_is_removed_keeps_its_port(tmp_path: Path):
    path = tmp_path / "registry.json"
    lock = Path(lock_path(str(path), 8100))
    with running(JOB, path, "alice") as job:
        assert job.said == "works"
        lock.unlink()
        with running(JOB, path, "bob") as second:
            assert (
                "load a 8100 by alice from mini" in second.said
                and "its lock file was removed" in second.said
            )
        job.stdin.write("on\n")
        job.stdin.flush()
        assert job.stdout.readline() == "said\n"
        found = FileLock(str(lock)).holder()
        assert found and (found["who"], found["phase"]) == ("alice", "wait")
    with running(JOB, path, "carol") as third:
        assert third.said == "works"
