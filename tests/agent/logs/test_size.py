"""A log that grew too large is truncated while its server writes to it, in bounded time, even on a
full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlxops.agent.logs.size import (
    KEPT_BYTES,
    MAX_LOG_BYTES,
    large_logs,
    measure_folder,
    port_of_log,
    truncate,
)
from mlxops.agent.registry import store
from tests.support.smalldisk import SmallDisk

# As chatty as a server can be; every line has a number, so that one that is lost shows.
CHATTY = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
number = 0
while not os.path.exists(sys.argv[1] + ".stop"):
    os.write(fd, b"".join(b"line %d %s\\n" % (number + n, b"x" * 80) for n in range(100)))
    number += 100
print(number)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "8100.log"


def sized(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(b"a line of a server's log, of which there are many\n" * 20_000)
        file.write(b"the last line\n")


def test_a_log_below_the_limit_is_left_alone(log: Path) -> None:
    log.write_text("one\n")
    assert truncate(str(log)) is None and large_logs(str(log.parents[1])) == []
    assert log.read_text() == "one\n" and not log.with_suffix(".log.1").exists()


def test_a_log_beyond_it_keeps_its_end_beside_it_and_its_file(log: Path) -> None:
    sized(log, MAX_LOG_BYTES)
    inode = log.stat().st_ino
    assert [path for path, _ in large_logs(str(log.parents[1]))] == [str(log)]
    done = truncate(str(log))
    assert done and done.size > MAX_LOG_BYTES and done.kept == KEPT_BYTES
    copy = log.with_suffix(".log.1")
    assert copy.stat().st_size == KEPT_BYTES and copy.read_bytes().endswith(b"the last line\n")
    assert log.stat().st_ino == inode and log.read_text().startswith("mlxops: truncated at 20")
    assert "the 4096 KiB before are in 8100.log.1" in log.read_text()


def test_the_log_before_is_shortened_to_its_end(log: Path) -> None:
    old = log.with_suffix(".log.1")
    sized(old, MAX_LOG_BYTES)
    assert truncate(str(old))
    assert old.stat().st_size == KEPT_BYTES and old.read_bytes().endswith(b"the last line\n")
    assert list(log.parent.iterdir()) == [old]


def test_it_is_cut_down_while_a_chatty_server_writes(log: Path) -> None:
    log.touch()
    writing = subprocess.Popen([sys.executable, "-c", CHATTY, str(log)], stdout=subprocess.PIPE)
    cuts = 0
    try:
        end = time.monotonic() + 5
        while time.monotonic() < end and cuts < 5:
            cuts += truncate(str(log), largest=2 << 20, keep=1 << 20) is not None
            time.sleep(0.01)
    finally:
        log.with_suffix(".log.stop").touch()
        said = int(writing.communicate(timeout=20)[0])
    assert cuts == 5
    lines = log.read_bytes().splitlines()
    assert lines[-1].split()[1] == b"%d" % (said - 1)
    assert log.stat().st_size + log.with_suffix(".log.1").stat().st_size < 100 << 20


def test_10_gb_cost_no_more_than_what_is_kept(log: Path) -> None:
    """Most of it is a hole: only the space on the disk counts."""
    sized(log, 2 << 20)
    with log.open("r+b") as file:
        file.truncate(10 << 30)
    assert truncate(str(log)) is None
    began = time.monotonic()
    done = truncate(str(log), largest=1 << 20, keep=64 << 10)
    assert done and time.monotonic() - began < 2
    assert log.with_suffix(".log.1").stat().st_size == 64 << 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_on_a_full_disk_it_makes_room(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "small", mb=4) as disk:
        log = disk.place / "8100.log"
        sized(log, 3 << 20)
        disk.fill()
        assert truncate(str(log), largest=1 << 20, keep=256 << 10)
        assert log.with_suffix(".log.1").read_bytes().endswith(b"the last line\n")
        assert log.stat().st_size < 4096 and log.with_suffix(".log.1").stat().st_size == 256 << 10


def test_a_link_and_a_pipe_are_nobodys_log(log: Path, tmp_path: Path) -> None:
    sized(tmp_path / "precious", MAX_LOG_BYTES)
    log.symlink_to(tmp_path / "precious")
    os.mkfifo(log.with_name("8101.log"))
    assert large_logs(str(tmp_path)) == []
    with pytest.raises(OSError):
        truncate(str(log))
    assert (tmp_path / "precious").stat().st_size > MAX_LOG_BYTES


def test_the_port_of_a_log_is_told_from_its_name() -> None:
    names = {"8100.log": 8100, "8100.log.1": 8100, "8100.rank1.log": 8100, "x.log": None, "²": None}
    assert {name: port_of_log("/logs/" + name) for name in names} == names


def test_what_a_folder_holds_is_weighed(log: Path) -> None:
    log.write_bytes(b"x" * 10_000)
    (log.parent / "below").mkdir()
    (log.parent / "below" / "small").write_bytes(b"x")
    found = measure_folder(str(log.parent))
    assert (found.files, found.largest) == (2, str(log)) and found.size >= 10_001
    assert measure_folder(str(log.parent / "none")).files == 0


def test_the_history_is_rotated_to_one_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_HISTORY_BYTES", 3000)
    kept = store.Store(str(tmp_path / "registry.json"), {"who": "a", "from": "b"})
    from mlxops.agent.registry.entries import REQUIRED, Entry

    for number in range(100):
        entry = Entry("amber", {**REQUIRED, "repo_id": f"o/{number}"})
        kept.edit(f"set {number}", lambda now, entry=entry: now.put(entry))
    files = sorted(path.name for path in tmp_path.glob("registry.history*"))
    assert files == ["registry.history.jsonl", "registry.history.jsonl.1"]
    assert all(path.stat().st_size < 4000 for path in tmp_path.glob("registry.history*"))
    assert (tmp_path / "registry.history.jsonl.1").read_text().count("\n") > 5
