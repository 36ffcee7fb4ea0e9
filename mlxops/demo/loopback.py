"""Start and stop the temporary SSH server."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..agent.errors import Failed

PROGRAM = Path(__file__).with_name("sshserver.py")
HOST = "127.0.0.1"
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Login:
    """What a client needs to log in; the fields are keys of a host file's [ssh] table."""

    host: str
    port: int
    user: str
    identity_file: str
    known_hosts_file: str


class LoopbackServer:
    """A running SSH server; its logins are this user with `home` and `shell`, and its keys are in
    `folder`.

    A context manager. The server also stops when this process ends, because it reads from a pipe
    that this process holds. Failed if it does not start; the reason is on stderr."""

    def __init__(
        self, folder: Path, home: Path, shell: str = "/bin/sh", env: Mapping[str, str] | None = None
    ) -> None:
        argv = [
            sys.executable,
            "-P",
            str(PROGRAM),
            str(folder),
            "--home",
            str(home),
            "--shell",
            shell,
        ]
        argv += [f"--env={name}={value}" for name, value in (env or {}).items()]
        # In a session of its own: Ctrl-C reaches only this process, so the link survives the
        # clean-up.
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.login = self._login(folder)

    def _login(self, folder: Path) -> Login:
        assert self.process.stdout is not None
        port = self.process.stdout.readline()
        if not port:
            status = self.close()
            raise Failed(
                f"the temporary SSH server did not start (exit status {status})",
                "pip install 'mlxops[demo]'",
            )
        return Login(
            host=HOST,
            port=int(port),
            user=getpass.getuser(),
            identity_file=os.fspath(folder / "client_key"),
            known_hosts_file=os.fspath(folder / "known_hosts"),
        )

    def close(self) -> int:
        """Stop the server and all its connections; return its exit status."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status

    def __enter__(self) -> LoopbackServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
