"""Starting a server: nothing happens before the gate opens, and afterwards nothing ties it to the
agent. Runs on Python 3.9 too."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import Failed
from mlxops.agent.procs import Unobservable
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.servers.launch import launch, log_tail
from tests.support.launching import Launcher, agent_argv, environment
from tests.support.procs_actors import eventually


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx-openai-server")
    yield made
    made.end()


def alive(launcher: Launcher, pid: int) -> bool:
    process = launcher.procs.process(pid)
    return process is not None and not process.zombie


def test_at_the_gate_the_process_is_known_and_the_server_has_done_nothing(launcher: Launcher):
    gated = launcher.at_the_gate()
    seen = launcher.procs.process(gated.process.pid)
    assert (seen.pid, seen.start_time) == (gated.process.pid, gated.process.start_time)
    assert gated.exited() is None
    assert gated.record({"who": "alice", "from": "mini"}).items() >= {
        ("pid", seen.pid),
        ("start_time", seen.start_time),
        ("launched_by", "alice@mini"),
    } and gated.record({})["argv"] == list(launcher.argv)
    gated.abort()
    assert gated.exited() is not None
    assert launcher.fake.journal() == []


def test_at_the_gate_it_waits_while_another_starts_and_serves(launcher: Launcher):
    gated, served = launcher.at_the_gate(), launcher.serving()
    assert [record["pid"] for record in launcher.fake.journal("started")] == [served.process.pid]
    assert gated.exited() is None


def test_the_server_is_the_very_process_that_was_recorded(launcher: Launcher):
    gated = launcher.serving()
    seen = launcher.procs.process(gated.process.pid)
    assert (seen.start_time, gated.exited()) == (gated.process.start_time, None)
    assert launcher.fake.journal("started")[0]["pid"] == seen.pid
    assert launcher.prey().first[0].pid == seen.pid


def test_an_agent_killed_before_the_release_leaves_no_server(launcher: Launcher):
    agent = subprocess.Popen(
        agent_argv(launcher, "wait"), stdout=subprocess.PIPE, env=environment()
    )
    pid = int(agent.stdout.readline())
    assert alive(launcher, pid)
    agent.kill()
    agent.communicate()
    eventually(lambda: not alive(launcher, pid))
    assert launcher.fake.journal() == []


def test_a_server_outlives_its_agent_and_holds_none_of_its_locks(launcher: Launcher):
    done = subprocess.run(
        agent_argv(launcher, "release"), stdout=subprocess.PIPE, env=environment(), check=True
    )
    pid = int(done.stdout)
    try:
        # Had the server inherited the pipe, run() would still wait; had it the lock, this would be
        # refused.
        FileLock(launcher.state_dir + ".lock").acquire({}, 0)
        assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)
        eventually(lambda: launcher.procs.listeners([launcher.port]))
    finally:
        for process in launcher.prey().processes:
            launcher.procs.send(process, signal.SIGKILL)
    eventually(lambda: not alive(launcher, pid))


def test_it_runs_in_a_folder_and_an_environment_of_its_own(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for token in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(token, "hf_secret")
    launcher.at_the_gate(HF_HUB_OFFLINE="1").release()
    (began,) = eventually(lambda: launcher.fake.journal("started"))
    assert began["cwd"] == os.path.join(
        os.path.realpath(launcher.state_dir), "run", str(launcher.port)
    )
    assert began["env"]["HF_HUB_OFFLINE"] == "1"
    assert "SSH_CONNECTION" not in began["env"] and "hf_secret" not in began["env"].values()
    assert "/opt/homebrew/bin" in began["env"]["PATH"]
    assert stat.S_IMODE(os.stat(began["cwd"]).st_mode) == 0o700


def test_the_log_of_the_one_before_is_kept(launcher: Launcher):
    for text in ("first", "second", "third"):
        gated = launch(launcher.procs, ["/bin/echo", text], {}, launcher.state_dir, launcher.port)
        launcher.started.append(gated)
        gated.release()
        eventually(lambda gated=gated: gated.exited() is not None)
    assert (log_tail(launcher.log), log_tail(launcher.log + ".1")) == (["third"], ["second"])


@pytest.mark.parametrize("word", ["", "no", "go now", "g"])
def test_only_the_right_word_opens_the_gate(launcher: Launcher, word: str):
    gated = launcher.at_the_gate()
    os.write(gated._gate, word.encode() + b"\n")
    eventually(lambda: gated.exited() is not None)
    gated.release()
    assert launcher.fake.journal() == []


def test_words_of_the_command_line_stay_words(launcher: Launcher):
    words = ["two words", "$(touch x)", "", "`id`", "'", '"', "line\nline", "*"]
    gated = launch(
        launcher.procs, ["/usr/bin/printf", "[%s]", *words], {}, launcher.state_dir, launcher.port
    )
    launcher.started.append(gated)
    gated.release()
    eventually(lambda: gated.exited() == 0)
    assert Path(launcher.log).read_text() == "".join("[" + word + "]" for word in words)


def test_a_program_that_is_not_there_ends_and_says_so_in_the_log(launcher: Launcher):
    gated = launch(launcher.procs, ["/nowhere/server"], {}, launcher.state_dir, launcher.port)
    launcher.started.append(gated)
    gated.release()
    assert eventually(gated.exited) in (126, 127)
    assert "/nowhere/server" in log_tail(launcher.log)[-1]


def test_a_state_folder_that_cannot_be_made_is_a_clear_failure(launcher: Launcher, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="cannot start the server"):
        launch(launcher.procs, launcher.argv, {}, str(tmp_path / "file"), launcher.port)


def test_no_failed_start_leaves_a_descriptor_open(launcher: Launcher, tmp_path: Path):
    (tmp_path / "file").write_text("")

    class Blind:
        def process(self, pid: int) -> Any:
            raise Unobservable(f"cannot look at {pid}")

    before = set(os.listdir("/dev/fd"))
    for procs, argv, state_dir in (
        (launcher.procs, launcher.argv, str(tmp_path / "file")),
        (Blind(), launcher.argv, launcher.state_dir),
        (launcher.procs, ["/bin/echo", "a\0b"], launcher.state_dir),
    ):
        with pytest.raises((Failed, Unobservable)):
            launch(procs, argv, {}, state_dir, launcher.port)
    assert set(os.listdir("/dev/fd")) == before
    assert launcher.fake.journal() == []


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        (b"", 20, []),
        (b"a\nb\nc\n", 2, ["b", "c"]),
        (b"a\nb", 5, ["a", "b"]),
        (b"a\n", 0, []),
        (b"\xff\xfe\n", 1, ["\ufffd\ufffd"]),
        (b"x" * (1 << 20), 1, ["x" * (64 << 10) + f" [... {960 << 10} bytes left out]"]),
    ],
)
def test_the_tail_of_a_log(tmp_path: Path, content: bytes, lines: int, expected: list[str]):
    (tmp_path / "log").write_bytes(content)
    assert log_tail(str(tmp_path / "log"), lines) == expected
    assert log_tail(str(tmp_path / "none")) == []
