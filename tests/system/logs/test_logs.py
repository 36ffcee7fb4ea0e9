"""`logs` loses and tears no line, whatever happens to the file; the number of lines; whose log it
is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually

# 170 lines a second, each in two writes, in the middle of a character; told to end by a file.
WRITER = """
import os, sys, time
path, upto = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
for number in range(upto):
    line = ("line %d \\u65e5\\u672c.\\n" % number).encode()
    os.write(fd, line[:-6])
    time.sleep(0.003)
    os.write(fd, line[-6:])
    time.sleep(0.003)
"""
Followed = Callable[..., "Follow"]


class Follow:
    """`logs -f`, and its output so far."""

    def __init__(self, studio: Studio, *words: object) -> None:
        self.process = studio.start("logs", *words)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def until(self, last: str) -> list[str]:
        eventually(lambda: self.lines and self.lines[-1] == last, 20)
        return self.lines

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)


@pytest.fixture
def local(make_studio: Callable[..., Studio], fake_runtime: FakeRuntime) -> Studio:
    runtime: dict[str, Any] = {
        "name": "mlx-openai-server",
        "command": fake_runtime.command,
        "grace_s": 10,
    }
    return make_studio(None, runtime)


@pytest.fixture
def log(local: Studio) -> Path:
    path = local.state_dir / "logs" / f"{local.ports[0]}.log"
    path.parent.mkdir()
    return path


@pytest.fixture
def follow(local: Studio, ctrl_c: None) -> Iterator[Followed]:
    begun: list[Follow] = []

    def start(*words: object) -> Follow:
        begun.append(Follow(local, local.ports[0], "-f", *words))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


def writer(log: Path, upto: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(log), str(upto)])


def numbers(lines: list[str]) -> list[int]:
    assert all(line.startswith("line ") and line.endswith(" 日本.") for line in lines), lines
    return [int(line.split()[1]) for line in lines]


@pytest.mark.slow
def test_no_line_is_lost_at_the_seam_and_none_is_torn(log: Path, follow: Followed) -> None:
    log.write_text("".join(f"line {number} 日本.\n" for number in range(-3000, 0)))
    writing = writer(log, 500)
    following = [follow("-n", 20), follow("-n", 2000), follow("-n", 1000)]
    assert writing.wait() == 0
    for one in following:
        seen = numbers(one.until("line 499 日本."))
        assert seen == list(range(seen[0], 500))


@pytest.mark.slow
def test_a_half_line_is_held_and_shown_after_a_while_as_one_that_goes_on(
    log: Path, follow: Followed
) -> None:
    log.write_bytes("one\nhalf 日".encode()[:-1])
    one = follow()
    one.until("one")
    time.sleep(1)
    assert one.lines == ["one"]
    one.until("half  [...]")
    with log.open("ab") as file:
        file.write("日".encode()[-1:] + b" whole\n")
    assert one.until("[...] 日 whole") == ["one", "half  [...]", "[...] 日 whole"]


def copytruncate(log: Path) -> None:
    os.truncate(log, 0)


def renamed(log: Path) -> None:
    """As newsyslog does: the server continues to write to the renamed file."""
    log.rename(log.with_suffix(".log.0"))
    log.touch()


def removed(log: Path) -> None:
    log.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("deed", [copytruncate, renamed, removed])
def test_a_log_that_is_truncated_renamed_or_removed_is_followed_on(
    log: Path, follow: Followed, deed: Callable[[Path], None]
) -> None:
    log.touch()
    one = follow()
    writing = writer(log, 400)
    eventually(lambda: len(one.lines) > 60)
    deed(log)
    eventually(lambda: len(one.lines) > 200)
    assert writing.wait() == 0
    seen = [int(line.split()[1]) for line in one.until("line 399 日本.")[-150:]]
    assert seen == list(range(250, 400))
    log.with_suffix(".new").write_text("a new server\n")
    os.replace(log.with_suffix(".new"), log)
    one.until("a new server")


def test_a_truncated_log_that_has_grown_beyond_is_known_again(log: Path, follow: Followed) -> None:
    log.write_text("before\n")
    one = follow()
    one.until("before")
    with log.open("r+b") as file:
        file.truncate(0)
        file.write(b"after, and it is longer than what was there before\nlast\n")
    one.until("last")
    assert one.lines == ["before", "after, and it is longer than what was there before", "last"]


def test_what_a_truncation_copied_away_is_shown_first(log: Path, follow: Followed) -> None:
    log.write_text("first, by which the copy is known\n")
    one = follow()
    one.until("first, by which the copy is known")
    one.process.send_signal(signal.SIGSTOP)
    agent = child_of(one.process.pid)
    os.kill(agent, signal.SIGSTOP)
    log.with_suffix(".log.1").write_text(log.read_text() + "copied\nhal")
    log.write_text("f\nafter\n")
    os.kill(agent, signal.SIGCONT)
    one.process.send_signal(signal.SIGCONT)
    assert one.until("after")[1:] == ["copied", "half", "after"]


def child_of(pid: int) -> int:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found = stat.read_text()
        except OSError:
            continue
        if int(found.rsplit(")", 1)[1].split()[1]) == pid:
            return int(stat.parent.name)
    raise AssertionError(f"no child of {pid}")


@pytest.mark.slow
def test_the_next_servers_log_is_followed(
    local: Studio, follow: Followed, fake_runtime: FakeRuntime
) -> None:
    local.must("init")
    port = local.ports[0]
    local.must("load", "amber", port)
    one = follow()
    eventually(lambda: any("/v1/chat/completions" in line for line in one.lines))
    seen = len(one.lines)
    local.must("load", "jade", port, "--replace")
    eventually(lambda: any("/v1/chat/completions" in line for line in one.lines[seen:]))


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_as_many_lines_are_given_as_were_asked_for(
    local: Studio, log: Path, flags: list[str]
) -> None:
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(300_000)))
    wanted = 299_000
    asked = local.start(*flags, "logs", local.ports[0], "-n", wanted)
    out, err = asked.communicate(timeout=120)
    assert (asked.returncode, err) == (0, "")
    import json

    lines = json.loads(out)["result"]["lines"] if flags else out.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (wanted, "line 1000", "line 299999")


def test_where_there_are_fewer_it_says_how_many(local: Studio, log: Path) -> None:
    log.write_text("one\ntwo\n")
    asked = local.start("logs", local.ports[0], "-n", "1000000")
    assert asked.communicate(timeout=60) == ("one\ntwo\n", "mlxops: the log has only 2 lines\n")
    plain = local.start("logs", local.ports[0])
    assert plain.communicate(timeout=60) == ("one\ntwo\n", "")


def test_a_log_of_10_gb_and_a_line_of_a_gigabyte_are_bounded(local: Studio, log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(10 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"x" * 200_000 + b"\nlast\n")
    began = time.monotonic()
    asked = local.mlxops("logs", local.ports[0], "-n", 50)
    assert time.monotonic() - began < 20
    long, last = asked.result["lines"]
    assert (
        last == "last"
        and long.startswith("[...] ")
        and "bytes left out]" in long
        and len(long) < 70_000
    )
    assert "only the last 64 MiB of" in asked.stderr and "(10240 MiB)" in asked.stderr


@pytest.mark.slow
def test_the_log_of_a_start_that_failed_is_shown_by_a_command(
    local: Studio, fake_runtime: FakeRuntime
) -> None:
    local.must("init")
    port = local.ports[0]
    refused = local.mlxops("logs", port, "--previous")
    assert refused.exit == 1 and refused.error["message"] == f"port {port} has no earlier log"
    local.must("load", "amber", port)
    fake_runtime.behaves("tiny--jade", die_after_s=0.2, exit_status=3)
    failed = local.mlxops("load", "jade", port, "--replace")
    assert failed.exit == 8 and failed.error["hint"].endswith(f"mlxops logs {port} --previous")
    shown = local.must("logs", port, "--previous")
    assert shown["path"].endswith(f"{port}.log.1") and "/v1/chat" not in "".join(shown["lines"])
    assert "/v1/chat" in "".join(local.must("logs", port)["lines"])
    assert local.mlxops("logs", port, "-p", "-f").exit == 2


def test_a_log_that_was_moved_is_shown_and_told(local: Studio) -> None:
    local.must("init")
    port = local.ports[0]
    local.must("load", "amber", port)
    log = local.state_dir / "logs" / f"{port}.log"
    moved = log.with_suffix(".log.0")
    log.rename(moved)
    for _ in range(2):
        shown = local.mlxops("logs", port)
        assert shown.result["path"] == str(moved) and "/v1/chat" in "".join(shown.result["lines"])
        assert f"goes to {moved}: its log was moved" in shown.stderr
        log.touch()  # as newsyslog does
    moved.unlink()
    deleted = local.mlxops("logs", port)
    assert "/v1/chat" in "".join(deleted.result["lines"]) and "(deleted)" in deleted.stderr


def test_the_log_of_a_server_that_somebody_else_started_is_found(
    local: Studio, fake_runtime: FakeRuntime
) -> None:
    local.must("init")
    port = local.ports[0]
    words = [
        *fake_runtime.command,
        "--model-path",
        local.entry("amber")["cache_path"],
        "--model-type",
        "lm",
    ]
    for where, told in ((local.folder / "mine.log", "mine.log"), (Path("/dev/null"), "/dev/null")):
        with where.open("w") as out:
            server = subprocess.Popen(
                [*words, "--port", str(port)], stdout=out, stderr=out, start_new_session=True
            )
        try:
            eventually(lambda: local.port_row(port)["state"] == "ready")
            shown = local.mlxops("logs", port)
            if told == "mine.log":
                assert "/health" in "".join(shown.result["lines"])
                assert f"goes to {where}: mlxops did not start it" in shown.stderr
            else:
                assert (
                    shown.exit == 1
                    and "which cannot be shown (not a regular file)" in shown.error["message"]
                )
        finally:
            server.terminate()
            server.wait()
            eventually(lambda: local.port_row(port)["state"] == "free")


def test_a_port_without_any_log_is_told(local: Studio) -> None:
    refused = local.mlxops("logs", local.ports[1])
    told = f"no server has been started on port {local.ports[1]} yet"
    assert (refused.exit, refused.error["message"]) == (1, told)


def test_a_registry_that_cannot_be_read_keeps_nobody_from_a_log(local: Studio, log: Path) -> None:
    log.write_text("one\n")
    local.registry_path.write_text("{")
    assert local.must("logs", local.ports[0])["lines"] == ["one"]
    local.registry_path.unlink()
