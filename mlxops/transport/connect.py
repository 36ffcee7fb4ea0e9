"""The socket of an SSH connection: TCP, or a proxy command on a socket pair."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

from ..agent.errors import HostKeyRefused, HostUnreachable, LoginRefused, MlxopsError
from ..agent.wire.codec import SILENCE_TIMEOUT_S
from .settings import Settings, query_ssh

if TYPE_CHECKING:
    from ..hosts.files import Ssh

QUICKACK = getattr(socket, "TCP_QUICKACK", None)
FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
# Keepalive detects a dead idle link, the user timeout one with unacknowledged bytes.
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPALIVE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
USER_TIMEOUT_MS = int(SILENCE_TIMEOUT_S * 1000)


class QuickSocket(socket.socket):
    """A TCP socket that acknowledges at once. Linux resets the option, so each recv sets it
    again."""

    def recv(self, *args: int) -> bytes:
        chunk = super().recv(*args)
        if QUICKACK is not None:
            with contextlib.suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        return chunk


class OpenSocket:
    """A socket connected to the host, and the proxy command behind it, if any."""

    def __init__(self, sock: socket.socket, proxy: Proxy | None = None) -> None:
        self.sock = sock
        self.proxy = proxy

    def close(self) -> None:
        self.sock.close()
        if self.proxy:
            self.proxy.close()


def open_socket(settings: Settings) -> OpenSocket:
    """Connect as ssh would. HostUnreachable distinguishes a wrong name, a host that does not answer
    and a closed port."""
    command = proxy_argv(settings)
    if not command:
        return OpenSocket(connect_tcp(settings))
    proxy = Proxy(command, settings)
    return OpenSocket(proxy.sock, proxy)


def connect_tcp(settings: Settings) -> socket.socket:
    """A TCP connection to the first address that answers."""
    faults: list[OSError] = []
    for family, kind, protocol, _, address in resolve(settings):
        try:
            return _connect_to(
                QuickSocket(family, kind, protocol), address, settings.connect_timeout_s
            )
        except OSError as exc:
            faults.append(exc)
    raise unreachable_error(settings, faults)


def resolve(settings: Settings) -> list[Any]:
    family = FAMILIES.get(settings.address_family, socket.AF_UNSPEC)
    try:
        return socket.getaddrinfo(settings.hostname, settings.port, family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        hint = (
            f"check the spelling and DNS: `ssh -G {settings.alias} | grep ^hostname` "
            "shows the name that is used"
        )
        via = (
            ""
            if settings.alias == settings.hostname
            else f" (HostName of {settings.alias} in ~/.ssh/config)"
        )
        message = f"cannot resolve {settings.hostname}{via}: {error_text(exc)}"
        raise HostUnreachable(message, hint, hostname=settings.hostname, cause="dns") from None


def _connect_to(sock: QuickSocket, address: Any, timeout: float) -> QuickSocket:
    """The socket, tuned and connected; it is closed on failure."""
    try:
        tune_socket(sock)
        sock.settimeout(timeout)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def tune_socket(sock: socket.socket) -> None:
    """Disable Nagle and delayed acknowledgements; detect a dead link within seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {**KEEPALIVE, "TCP_QUICKACK": 1, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
    for name, value in options.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def error_text(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)


def unreachable_error(settings: Settings, faults: list[OSError]) -> HostUnreachable:
    """The error if no address accepted the connection. A refusal is the most specific reason."""
    where = settings.address_label
    if any(isinstance(exc, ConnectionRefusedError) for exc in faults):
        message = f"{where} refused the connection (no SSH server there?)"
        hint = "enable Remote Login on the host, or correct the port"
        return HostUnreachable(message, hint, cause="refused")
    if any(isinstance(exc, TimeoutError) for exc in faults):
        message = f"{where} did not answer within {settings.connect_timeout_s:g} s"
        hint = (
            f"check that it is on, awake and in this network: `ping {settings.hostname}`; "
            "ConnectTimeout allows more time"
        )
        return HostUnreachable(message, hint, cause="timeout")
    reasons = "; ".join(sorted({error_text(exc) for exc in faults})) or "no address"
    return HostUnreachable(
        f"cannot reach {where}: {reasons}",
        f"check this machine's network: `ping {settings.hostname}`",
        cause="network",
    )


def proxy_argv(settings: Settings) -> list[str]:
    """The command whose stdin and stdout are the connection, or []. As in ssh, ProxyJump becomes
    `ssh -W`."""
    if settings.proxy_jump:
        *before, last = settings.proxy_jump.split(",")
        jumps = ["-J", ",".join(before)] if before else []
        target = f"[{settings.hostname}]:{settings.port}"
        return ["ssh", "-o", "BatchMode=yes", *jumps, "-W", target, *jump_argv(last)]
    if settings.proxy_command:
        return [os.environ.get("SHELL") or "/bin/sh", "-c", "exec " + settings.proxy_command]
    return []


def jump_argv(hop: str) -> list[str]:
    """ssh's arguments for one hop of ProxyJump; the ssh:// form includes user and port."""
    if hop.startswith("ssh://"):
        return ["--", hop]
    user, _, place = hop.rpartition("@")
    options = ["-l", user] if user else []
    host, colon, port = place.rpartition(":")
    if colon and port.isdecimal() and (host.endswith("]") or ":" not in host):
        return [*options, "-p", port, "--", host.strip("[]")]
    return [*options, "--", place.strip("[]")]


class Proxy:
    """A child that carries the connection, on a socket pair: paramiko's own ProxyCommand spins when
    the command dies."""

    def __init__(self, argv: list[str], settings: Settings) -> None:
        import tempfile

        self._name = shlex.join(argv)
        self._where = settings.address_label
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        no_askpass = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
        self.sock, theirs = socket.socketpair()
        try:
            # In a session without a terminal it cannot prompt for a password.
            self._child = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr.fileno(),
                env=no_askpass,
                start_new_session=True,
            )
        except OSError as exc:
            self.sock.close()
            message = f"cannot start the proxy `{self._name}`: {error_text(exc)}"
            hint = "correct ProxyJump or ProxyCommand in ~/.ssh/config"
            raise HostUnreachable(message, hint, cause="proxy") from None
        finally:
            theirs.close()

    def exit_error(self) -> MlxopsError | None:
        """Why the child ended, with its stderr; None while it runs."""
        deadline = time.monotonic() + 1.0
        while self._child.poll() is None:
            if time.monotonic() > deadline:
                return None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.05)
        self._stderr.seek(0)
        stderr = self._stderr.read()[-4000:].decode("utf-8", "replace").strip()
        status = self._child.returncode
        message = f"the proxy to {self._where} ended with status {status}: {stderr}"
        return error_class(stderr)(
            message, f"try it alone: {self._name}", cause="proxy", stderr=stderr
        )

    def close(self) -> None:
        """Terminate the child, unless the closed socket already ended it, and reap it."""
        if self._child.poll() is None:
            self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2.0)
        self._stderr.close()


def error_class(stderr: str) -> type[MlxopsError]:
    """The kind of failure that an ssh client reports."""
    if "Host key verification failed" in stderr or "REMOTE HOST IDENTIFICATION" in stderr:
        return HostKeyRefused
    return LoginRefused if "Permission denied" in stderr else HostUnreachable


class PendingSocket:
    """A connection in the background: ssh's settings are read and the socket is opened while the
    caller imports."""

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh
        self._outcome: tuple[Settings, OpenSocket] | BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            settings = query_ssh(self._ssh)
            self._outcome = settings, open_socket(settings)
        except BaseException as exc:
            self._outcome = exc

    def result(self) -> tuple[Settings, OpenSocket]:
        """The settings and the socket, once connected; raises the error otherwise."""
        self._thread.join()
        if not isinstance(self._outcome, tuple):
            raise self._outcome or RuntimeError("the connecting thread ended without an outcome")
        return self._outcome
