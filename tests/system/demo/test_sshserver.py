"""The temporary SSH server runs a command as sshd does."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.demo.loopback import LoopbackServer

Ssh = list[str]


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Ssh]:
    """The argv of OpenSSH's client up to the command."""
    with LoopbackServer(tmp_path, tmp_path) as server:
        login = server.login
        options = [
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={login.known_hosts_file}",
            "BatchMode=yes",
        ]
        flags = [word for option in options for word in ("-o", option)]
        where = ["-i", login.identity_file, "-p", str(login.port), f"{login.user}@{login.host}"]
        yield ["ssh", "-F", "none", "-T", *flags, *where]


def run(ssh: Ssh, command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*ssh, command], input=stdin, capture_output=True, timeout=60)


def test_streams_are_binary_and_apart(ssh: Ssh) -> None:
    payload = os.urandom(3 << 20)
    done = run(ssh, "cat; echo aside >&2", payload)
    assert (done.stdout, done.stderr, done.returncode) == (payload, b"aside\n", 0)


def test_exit_status_and_signal_are_reported(ssh: Ssh) -> None:
    assert run(ssh, "exit 7").returncode == 7
    assert run(ssh, "kill -TERM $$").returncode == 255


def test_stderr_flows_on_after_stdout_ended(ssh: Ssh) -> None:
    assert run(ssh, "exec >&-; head -c 1000000 /dev/zero >&2").stderr == bytes(1000000)


def test_the_environment_is_bare_and_the_home_is_the_accounts(ssh: Ssh, tmp_path: Path) -> None:
    lines = run(ssh, 'echo "$PATH"; pwd; echo "$HOME"').stdout.decode().split()
    assert lines == ["/usr/bin:/bin:/usr/sbin:/sbin", str(tmp_path), str(tmp_path)]


def test_a_command_sees_end_of_input_when_its_client_vanishes(ssh: Ssh, tmp_path: Path) -> None:
    client = subprocess.Popen(
        [*ssh, f"cat > {tmp_path}/seen; echo over >> {tmp_path}/seen"], stdin=subprocess.PIPE
    )
    assert client.stdin is not None
    client.stdin.write(b"begun\n")
    client.stdin.flush()
    wait_for(tmp_path / "seen", "begun\n")
    client.kill()
    client.wait()
    client.stdin.close()
    wait_for(tmp_path / "seen", "begun\nover\n")


def test_a_wrong_key_is_refused(ssh: Ssh, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    other = [str(key) if word.endswith("client_key") else word for word in ssh]
    assert run(other, "true").returncode == 255


def wait_for(path: Path, content: str) -> None:
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text() == content):
        assert time.monotonic() < end, path.read_text() if path.exists() else "no such file"
        time.sleep(0.01)
