"""The client of an sshd under test: ssh configuration, ssh-agent and host values."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlxops import transport
from mlxops.agent.wire.codec import frame
from mlxops.hosts.files import Host, Ssh
from mlxops.transport import Link
from tests.support.sshd import Sshd


def host_for(server: Sshd | None, state_dir: Path, python: str | None = None, **ssh: Any) -> Host:
    """A host value for that server, or for this machine; keywords are fields of Ssh."""
    way = Ssh("127.0.0.1", connect_timeout_s=10.0)
    if server:
        way = replace(
            way,
            user=server.user,
            port=server.port,
            identity_file=str(server.client_key),
            known_hosts_file=str(server.known_hosts),
        )
    site = {"state_dir": str(state_dir)}
    return Host(
        "studio",
        Path("/hosts/studio.toml"),
        "ssh" if server else "local",
        replace(way, **ssh),
        python,
        site,
    )


def ssh_config(folder: Path, text: str) -> str:
    """A PATH whose ssh reads this configuration instead of the user's."""
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(text)
    wrapper = folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder / "config"} "$@"\n')
    wrapper.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def run_there(host: Host, code: str) -> str:
    """The output of this Python code on the host."""
    link = transport.open_for(host).open(host.python)
    try:
        link.send(frame(code.encode()))
        return everything(link).decode()
    finally:
        link.close()


def everything(link: Link) -> bytes:
    """All of stdout up to its end."""
    parts = []
    while chunk := link.receive(30):
        parts.append(chunk)
    assert chunk == b"", "the link fell silent"
    return b"".join(parts)


class SshAgent:
    """An ssh-agent for one test."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "agent.sock"
        said = subprocess.run(
            ["ssh-agent", "-s", "-a", str(self.socket)], capture_output=True, text=True, check=True
        )
        self._pid = int(said.stdout.split("SSH_AGENT_PID=")[1].split(";")[0])

    def add(self, key: Path, passphrase: str = "") -> None:
        asker = self.socket.with_name("askpass")
        asker.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        asker.chmod(0o755)
        answers = {"SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"}
        env = {**os.environ, **answers, "SSH_AUTH_SOCK": str(self.socket)}
        subprocess.run(["ssh-add", "-q", str(key)], env=env, check=True, capture_output=True)

    def __enter__(self) -> SshAgent:
        return self

    def __exit__(self, *exc: object) -> None:
        os.kill(self._pid, signal.SIGTERM)
