"""The socket under an SSH connection: TCP of our own, or a proxy command on a socket pair."""

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
# Keepalive finds a dead link that is idle, the user timeout one with bytes on the way (seconds,
# seconds, count, ms).
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPALIVE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
USER_TIMEOUT_MS = int(SILENCE_TIMEOUT_S * 1000)


class QuickSocket(socket.socket):
    """A TCP socket that acknowledges at once. Linux forgets the wish after a while, so it is
    renewed with each recv."""

    def recv(self, *args: int) -> bytes:
        chunk = super().recv(*args)
        if QUICKACK is not None:
            with contextlib.suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        return chunk


class OpenSocket:
    """An open socket towards the host, and the proxy command behind it, if there is one."""

    def __init__(self, sock: socket.socket, proxy: Proxy | None = None) -> None:
        self.sock = sock
        self.proxy = proxy

    def close(self) -> None:
        self.sock.close()
        if self.proxy:
            self.proxy.close()


def open_socket(settings: Settings) -> OpenSocket:
    """Connect as the settings say; HostUnreachable tells a wrong name, a silent host and a closed
    port apart."""
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
        hint = f"check the spelling and DNS: `ssh -G {settings.alias} | grep ^hostname` shows the name that is used"
        via = (
            ""
            if settings.alias == settings.hostname
            else f" (HostName of {settings.alias} in ~/.ssh/config)"
        )
        message = f"cannot resolve {settings.hostname}{via}: {error_text(exc)}"
        raise HostUnreachable(message, hint, hostname=settings.hostname, cause="dns") from None


def _connect_to(sock: QuickSocket, address: Any, timeout: float) -> QuickSocket:
    """The socket, tuned and connected; closed when that fails."""
    try:
        tune_socket(sock)
        sock.settimeout(timeout)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def tune_socket(sock: socket.socket) -> None:
    """No Nagle, no delayed acknowledgements, and a dead link noticed within seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {**KEEPALIVE, "TCP_QUICKACK": 1, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
    for name, value in wanted.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def error_text(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)


def unreachable_error(settings: Settings, faults: list[OSError]) -> HostUnreachable:
    """The error for a host none of whose addresses took the connection. A refusal says most, so it
    is told first."""
    where = settings.address_label
    if any(isinstance(exc, ConnectionRefusedError) for exc in faults):
        message = f"{where} is up, but refuses connections: nothing listens there"
        return HostUnreachable(
            message, "switch on Remote Login on the host, or correct the port", cause="refused"
        )
    if any(isinstance(exc, TimeoutError) for exc in faults):
        message = f"{where} did not answer within {settings.connect_timeout_s:g} s"
        hint = f"is it on, awake and in this network? `ping {settings.hostname}`; ConnectTimeout allows more time"
        return HostUnreachable(message, hint, cause="timeout")
    said = "; ".join(sorted({error_text(exc) for exc in faults})) or "no address"
    return HostUnreachable(
        f"cannot reach {where}: {said}",
        f"check this machine's network: `ping {settings.hostname}`",
        cause="network",
    )


def proxy_argv(settings: Settings) -> list[str]:
    """The command whose stdin and stdout are the connection, or nothing. As in ssh, ProxyJump is an
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
    """ssh's arguments for one hop of ProxyJump; the ssh:// form carries user and port itself."""
    if hop.startswith("ssh://"):
        return ["--", hop]
    user, _, place = hop.rpartition("@")
    options = ["-l", user] if user else []
    host, colon, port = place.rpartition(":")
    if colon and port.isdecimal() and (host.endswith("]") or ":" not in host):
        return [*options, "-p", port, "--", host.strip("[]")]
    return [*options, "--", place.strip("[]")]


class Proxy:
    """A child that carries the connection. On a socket pair: paramiko's own way spins when the
    command dies."""

    def __init__(self, argv: list[str], settings: Settings) -> None:
        import tempfile

        self._name = shlex.join(argv)
        self._where = settings.address_label
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        quiet = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
        self.sock, theirs = socket.socketpair()
        try:
            # Without a terminal of its own there is nothing to ask a password on.
            self._child = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said.fileno(),
                env=quiet,
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
        """Why the child ended, in its own words; nothing while it runs."""
        deadline = time.monotonic() + 1.0
        while self._child.poll() is None:
            if time.monotonic() > deadline:
                return None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.05)
        self._said.seek(0)
        said = self._said.read()[-4000:].decode("utf-8", "replace").strip()
        message = (
            f"the proxy on the way to {self._where} ended (status {self._child.returncode}): {said}"
        )
        return error_class(said)(message, f"try it alone: {self._name}", cause="proxy", stderr=said)

    def close(self) -> None:
        """End the child, which the closed socket tells to go anyway, and collect it."""
        if self._child.poll() is None:
            self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2.0)
        self._said.close()


def error_class(said: str) -> type[MlxopsError]:
    """The kind of failure in what an ssh client printed."""
    if "Host key verification failed" in said or "REMOTE HOST IDENTIFICATION" in said:
        return HostKeyRefused
    return LoginRefused if "Permission denied" in said else HostUnreachable


class PendingSocket:
    """A call under way: ssh's settings are read and the host is connected to while the caller
    imports."""

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
        """The settings and the socket, or the error that came instead."""
        self._thread.join()
        if not isinstance(self._outcome, tuple):
            raise self._outcome or RuntimeError("nothing was dialled")
        return self._outcome
