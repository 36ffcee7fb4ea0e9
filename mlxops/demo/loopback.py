"""Starts and ends the throw-away SSH server from the outside."""

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
ENDS_WITHIN_S = 10.0


@dataclass(frozen=True)
class Login:
    """What a client needs to log in; the names are those of a host file's [ssh] table."""

    host: str
    port: int
    user: str
    identity_file: str
    known_hosts_file: str


class Loopback:
    """A running SSH server whose logins become this user with `home` and `shell`; `folder` gets its
    keys.

    A context manager. The server also ends by itself when this process is gone, since it reads our
    end of a pipe. Failed when it did not start; the reason is on stderr."""

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
        # A session of its own, so that Ctrl-C at the terminal reaches only us and the link outlives
        # our clean-up.
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
                f"the throw-away SSH server did not start (exit status {status})",
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
        """End the server and every link through it; its exit status."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status

    def __enter__(self) -> Loopback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
