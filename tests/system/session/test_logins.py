"""Real-world logins: shells whose rc files print, a bare PATH, an old python3 first, broken
links."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import LinkLost
from tests.support.clientside import host_for
from tests.support.sshd import Sshd
from tests.system.session.test_session import ask, call, packed

pytestmark = pytest.mark.openssh
RESULT = 'say(fd, result={"version": list(sys.version_info[:2]), "path": os.environ.get("PATH")})'
NOISE = "\\n".join(
    ["echo welcome to the studio", "echo grumble >&2", "printf 'no newline at the end: '"]
)
PYTHON_39 = [str(path) for path in Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")]
PYTHON_39 += [found for found in [shutil.which("python3.9")] if found]
RC = {"zsh": ".zshenv", "bash": ".bashrc"}


def program(shell: str) -> str:
    found = shutil.which(shell)
    assert found, f"these tests need {shell}: install it"
    return found


@pytest.mark.parametrize("shell", ["zsh", "bash"])
def test_rc_files_that_print(tmp_path: Path, shell: str) -> None:
    server = Sshd(tmp_path / "sshd", program(shell))
    mark = tmp_path / "read"
    (server.home / RC[shell]).write_text(
        NOISE.replace("\\n", "\n") + f"\ntouch {mark}\nset -x -v\n"
    )
    with server:
        host = host_for(server, tmp_path / "state")
        for _ in range(2):
            assert ask(host, tmp_path / "agent", RESULT)["path"] == "/usr/bin:/bin:/usr/sbin:/sbin"
    assert mark.exists(), "the rc file was not read: this test proves nothing"


def test_megabytes_of_noise_before_the_agent(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", program("zsh"))
    (server.home / ".zshenv").write_text(
        "yes welcome | head -c 3000000; yes grumble | head -c 3000000 >&2\n"
    )
    with server:
        assert "version" in ask(host_for(server, tmp_path / "state"), tmp_path / "agent", RESULT)


def test_a_path_without_anything(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd", path="/nonexistent") as server:
        assert "version" in ask(host_for(server, tmp_path / "state"), tmp_path / "agent", RESULT)


@pytest.mark.skipif(not PYTHON_39, reason="needs a Python 3.9: on PATH as python3.9, or in pyenv")
def test_a_host_whose_python_is_3_9(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd") as server:
        said = ask(host_for(server, tmp_path / "state", PYTHON_39[0]), tmp_path / "agent", RESULT)
    assert said["version"] == [3, 9]


def test_a_login_that_ends_before_the_agent(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", program("zsh"))
    (server.home / ".zshenv").write_text(
        "echo This account is currently not available. >&2; exit 1\n"
    )
    with server, pytest.raises(LinkLost, match="currently not available"):
        ask(host_for(server, tmp_path / "state"), tmp_path / "agent", RESULT)


def on_started(act: Any) -> Any:
    """Runs this when the agent has begun."""
    return lambda event: act() if event["event"] == "started" else None


def test_a_link_that_breaks_is_noticed_at_once(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd") as server:
        host = host_for(server, tmp_path / "state")

        def cut() -> None:
            for pid in server.sessions():
                os.kill(pid, signal.SIGKILL)

        started = time.monotonic()
        with pytest.raises(LinkLost, match="broke"):
            ask(
                host,
                tmp_path / "agent",
                'say(fd, event="started"); stdin.read(); os._exit(0)',
                on_started(cut),
            )
        assert time.monotonic() - started < 10


@pytest.mark.slow
def test_a_link_that_swallows_everything_is_given_up(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd") as server:
        stopped: list[int] = []

        def freeze() -> None:
            stopped.extend(server.sessions())
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)

        started = time.monotonic()
        try:
            with pytest.raises(LinkLost, match="no data from"):
                ask(
                    host_for(server, tmp_path / "state"),
                    tmp_path / "agent",
                    'say(fd, event="started"); stdin.read(); os._exit(0)',
                    on_started(freeze),
                )
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        assert 17 < time.monotonic() - started < 26


def test_several_calls_at_once_from_one_process(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd") as server:
        host = host_for(server, tmp_path / "state")
        agent = packed(tmp_path / "agent", RESULT)
        said: list[Any] = []
        threads = [
            threading.Thread(target=lambda: said.append(call(host, agent))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(said) == 8 and all("version" in answer for answer in said)


def test_one_call_is_one_connection_and_one_exec(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd", extra=("LogLevel VERBOSE",)) as server:
        host = host_for(server, tmp_path / "state")
        ask(host, tmp_path / "agent", RESULT)
        before = server.log.read_text()
        ask(host, tmp_path / "agent", RESULT)
        log = server.log.read_text()[len(before) :]
    assert log.count("Connection from") == 1
    assert log.count("Starting session") == 1
