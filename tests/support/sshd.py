"""OpenSSH's sshd on loopback, which looks like a separate machine to a login. Runs with and without
root."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.support.ports import free_range

START_S = 10.0


def find_sshd() -> str:
    """The full path of sshd, which it requires; RuntimeError if OpenSSH's server is not
    installed."""
    found = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise RuntimeError("these tests need OpenSSH's sshd: install openssh-server")
    return found


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Create a key pair at path and path.pub."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)
    return path


class Sshd:
    """One server with its own host key, its own authorized_keys, and a login environment chosen by
    the test.

    shell, home, path and env describe the login: the command runs under `shell -c` with only that
    environment, as for an account with that login shell. extra: lines for sshd_config, before all
    others."""

    def __init__(
        self,
        folder: Path,
        shell: str = "/bin/sh",
        path: str = "/usr/bin:/bin:/usr/sbin:/sbin",
        env: dict[str, str] | None = None,
        extra: tuple[str, ...] = (),
        host_key: str = "ed25519",
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.user = pwd.getpwuid(os.getuid()).pw_name
        (self.port,) = free_range(1)
        self.host_key = make_key(folder / "host_key", host_key)
        self.client_key = make_key(folder / "client_key")
        self.known_hosts = folder / "known_hosts"
        self.authorized_keys = folder / "authorized_keys"
        self.log = folder / "sshd.log"
        self.authorize(self.client_key)
        self.known_hosts.write_text(self.known_line())
        account = {"PATH": path, "HOME": str(self.home), "USER": self.user, "SHELL": shell}
        self._write_login(shell, {**account, **(env or {})})
        self._write_config(extra)
        self._process: subprocess.Popen[bytes] | None = None

    def known_line(self, name: str | None = None) -> str:
        kind, blob = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"{name or f'[127.0.0.1]:{self.port}'} {kind} {blob}\n"

    def authorize(self, key: Path) -> None:
        with self.authorized_keys.open("a") as file:
            file.write(key.with_name(key.name + ".pub").read_text())

    def known_as(self, name: str, tools: Path) -> None:
        """Write an ssh into the folder `tools` that reaches this server under a name."""
        config = tools / "ssh_config"
        config.write_text(
            f"Host {name}\nHostName 127.0.0.1\nPort {self.port}\nUser {self.user}\n"
            f"IdentitiesOnly yes\n"
            f"IdentityFile {self.client_key}\nUserKnownHostsFile {self.known_hosts}\n"
        )
        # ssh reads its configuration from the account's home, which all servers on this machine
        # share.
        (tools / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
        (tools / "ssh").chmod(0o755)

    def _write_login(self, shell: str, env: dict[str, str]) -> None:
        # bash reads its rc file only in an ssh session, which it recognises by SSH_CLIENT and
        # SHLVL.
        login = self.folder / "login"
        words = " ".join(shlex.quote(f"{key}={value}") for key, value in env.items())
        login.write_text(
            f'#!/bin/sh\nexec env -i SSH_CLIENT="$SSH_CLIENT" {words} {shell} -c '
            f'"$SSH_ORIGINAL_COMMAND"\n'
        )
        login.chmod(0o755)

    def _write_config(self, extra: tuple[str, ...]) -> None:
        self.config = self.folder / "sshd_config"
        lines = [
            *extra,
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            "PidFile none",
            f"AuthorizedKeysFile {self.authorized_keys}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "PrintMotd no",
            "UseDNS no",
            "MaxStartups 200",
            # The account's real shell starts the login: at this depth bash does not read the real
            # ~/.bashrc.
            f"ForceCommand {self.folder / 'login'}",
            "SetEnv SHLVL=9",
        ]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> Sshd:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [find_sshd(), "-D", "-f", str(self.config), "-E", str(self.log)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd did not start: {self.log.read_text()}")
            time.sleep(0.01)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def sessions(self) -> list[int]:
        """The pids of the open connections, one or two each."""
        done = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True
        )
        return [int(word) for word in done.stdout.split()]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Sshd:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
