"""SSH through Fabric's Connection. The only module that imports fabric and paramiko."""

from __future__ import annotations

import logging
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import bundle
from ..agent.errors import LinkLost, MlxopsError
from ..agent.wire.child import CHUNK, MAX_READS, Tail
from ..agent.wire.codec import SILENCE_TIMEOUT_S
from . import connect_errors, knownhosts
from .connect import OpenSocket, PendingSocket, open_socket
from .identities import Identity, Offer, find_identities, order_offers
from .import_stubs import stubbed_imports
from .settings import Settings
from .watchdog import Watchdog

if TYPE_CHECKING:
    from fabric import Connection  # type: ignore[import-untyped]

AUTH_TIMEOUT_S = 30.0
CHANNEL_TIMEOUT_S = 20.0
EXIT_TIMEOUT_S, MAX_GREETING_BYTES = 1.0, 4096
# Between attempts, if sshd closes the connection before its greeting; each jittered by half.
RETRY_PAUSES_S = (0.3, 0.6, 1.2, 2.0, 2.0)
AGENT_TIMEOUT_S = 10.0


with stubbed_imports("importlib.metadata", "invoke"):
    import paramiko

# paramiko would read its version through importlib.metadata.
paramiko.Transport._CLIENT_ID = "mlxops"  # type: ignore[attr-defined]
# paramiko logs a traceback for each failure that is reported here as an error.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


class EarlyKeyExchange(paramiko.Transport):
    """A key exchange that begins at construction, so that it runs while the rest is imported."""

    def __init__(self, sock: socket.socket, settings: Settings, types: list[str]) -> None:
        super().__init__(sock)
        self.banner_timeout = self.handshake_timeout = settings.connect_timeout_s
        self.auth_timeout = AUTH_TIMEOUT_S
        self._limit = settings.connect_timeout_s + self.banner_timeout
        offered = self.get_security_options()
        first = [kind for kind in types if kind in offered.key_types]
        offered.key_types = [*first, *(kind for kind in offered.key_types if kind not in first)]
        self._done = threading.Event()
        self._greeting = b""
        self._readline = self.packetizer.readline
        self.packetizer.readline = self._record_line  # type: ignore[method-assign]
        super().start_client(event=self._done)

    def start_client(
        self, event: threading.Event | None = None, timeout: float | None = None
    ) -> None:
        """Called by paramiko's client once it is ready to wait."""
        if not self._done.wait(self._limit):
            raise paramiko.SSHException("the key exchange did not end in time")
        if not self.is_active():
            fault = self.get_exception() or paramiko.SSHException("the key exchange failed")
            late = isinstance(fault.__context__, TimeoutError) or "timed out" in str(fault)
            if not self.remote_version and not late:
                raise ClosedBeforeGreeting(self._greeting.decode("utf-8", "replace")) from fault
            raise fault

    def _record_line(self, timeout: float) -> str:
        """A line before the server's greeting, where sshd says why it refuses."""
        line: str = self._readline(timeout)
        text = self._greeting + line.encode("utf-8", "replace") + b"\n"
        self._greeting = text[:MAX_GREETING_BYTES]
        return line


class ClosedBeforeGreeting(Exception):
    """The server closed the connection before its greeting. Its text is what it printed."""


class StrictHostKeys(paramiko.MissingHostKeyPolicy):
    """Refuses each key that known_hosts does not list. mlxops reads the files; paramiko's own lists
    stay empty."""

    def __init__(self, settings: Settings, known: list[list[knownhosts.KnownKey]]) -> None:
        self._settings = settings
        self._known = known

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:
        verdicts = [knownhosts.check_host_key(keys, key.asbytes()) for keys in self._known]
        worst = next((verdict for verdict in verdicts if verdict.status == "revoked"), verdicts[0])
        if worst.status != "revoked" and any(verdict.status == "known" for verdict in verdicts):
            return
        raise connect_errors.host_key_error(self._settings, key.get_name(), key.asbytes(), worst)


class PublicKeyLogin:
    """Logs in with public keys only, in ssh's order, and never prompts."""

    def __init__(self, settings: Settings, **_: Any) -> None:
        self._settings = settings
        self._files: list[Identity] = find_identities(settings.identity_files)
        self._agent_keys: tuple[paramiko.AgentKey, ...] = ()
        self._encrypted: list[str] = []
        self._offered: list[str] = []
        self._allowed: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Log in; LoginRefused lists the keys that were offered."""
        with agent_keys(self._settings.identity_agent) as self._agent_keys:
            self._offer_all(transport)
        if not transport.is_authenticated():
            banner = (transport.get_banner() or b"").decode("utf-8", "replace")
            raise connect_errors.login_error(
                self._settings, self._offered, self._encrypted, self._allowed, banner
            )

    def _offer_all(self, transport: paramiko.Transport) -> None:
        blobs = [key.asbytes() for key in self._agent_keys]
        for offer in order_offers(self._files, blobs, self._settings.identities_only):
            if self._accepted(transport, offer) or not transport.is_active():
                return
            if self._allowed and "publickey" not in self._allowed:
                return
        if not self._offered:
            # To learn its banner and the methods it accepts.
            self._try(transport.auth_none, self._settings.user)

    def _accepted(self, transport: paramiko.Transport, offer: Offer) -> bool:
        key = self._key(offer)
        if key is None:
            return False
        self._offered.append(
            offer.path or f"a key of the agent ({knownhosts.fingerprint(key.asbytes())})"
        )
        self._try(transport.auth_publickey, self._settings.user, key)
        return transport.is_authenticated()

    def _try(self, method: Any, *args: Any) -> None:
        try:
            self._allowed = method(*args) or self._allowed
        except paramiko.BadAuthenticationType as exc:
            self._allowed = exc.allowed_types
        except (paramiko.SSHException, OSError):
            return

    def _key(self, offer: Offer) -> paramiko.PKey | None:
        if offer.agent_key is not None:
            return self._agent_keys[offer.agent_key]
        path = str(offer.path)
        try:
            return paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):
            self._encrypted.append(path)
        except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError, OSError) as exc:
            self._offered.append(f"{path} (unreadable: {exc})")
        return None


@contextmanager
def agent_keys(path: str | None) -> Iterator[tuple[paramiko.AgentKey, ...]]:
    """The keys of the agent at this socket, which can sign inside the block; () without an agent
    that answers."""
    agent = paramiko.agent.AgentSSH()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(AGENT_TIMEOUT_S)
        if path:
            with suppress(OSError, paramiko.SSHException):
                sock.connect(path)
                agent._connect(sock)  # type: ignore[attr-defined]
        yield agent.get_keys()


class SshTransport:
    """One connection, on a socket that connects while this module is imported."""

    def __init__(self, pending: PendingSocket) -> None:
        self._pending = pending

    def open(self, python: str | None) -> SshLink:
        settings, connected = self._pending.result()
        end = time.monotonic() + settings.connect_timeout_s
        for tries, pause in enumerate((*RETRY_PAUSES_S, None), 1):
            try:
                return self._start(settings, connected, python)
            except ClosedBeforeGreeting as exc:
                wait = None if pause is None else pause * random.uniform(0.5, 1.5)
                output = str(exc)
                if (
                    wait is None
                    or connected.proxy
                    or "Not allowed" in output
                    or time.monotonic() + wait > end
                ):
                    raise connect_errors.closed_early_error(settings, output, tries) from None
                # sshd limits simultaneous logins. Nothing was sent yet, so retrying is safe.
                time.sleep(wait)
                connected = open_socket(settings)
        raise AssertionError("the last try has no pause")

    def _start(self, settings: Settings, connected: OpenSocket, python: str | None) -> SshLink:
        watchdog = Watchdog(
            connected.sock, settings.connect_timeout_s * 2 + AUTH_TIMEOUT_S + CHANNEL_TIMEOUT_S
        )
        try:
            connection = log_in(settings, connected)
            return SshLink(
                connection,
                open_session(connection, bundle.launch_command(python)),
                connected,
                settings,
            )
        except BaseException as exc:
            fault = connect_error(exc, settings, connected, watchdog.timed_out)
            connected.close()
            raise fault from None
        finally:
            watchdog.cancel()


def log_in(settings: Settings, connected: OpenSocket) -> Connection:
    """A logged-in Connection. It gets all settings from `ssh -G` and reads no files itself."""
    known = [knownhosts.read_keys(settings.known_hosts, name) for name in settings.key_names]
    negotiation = EarlyKeyExchange(
        connected.sock, settings, knownhosts.known_types([key for keys in known for key in keys])
    )
    with stubbed_imports("unittest", "unittest.mock", "invoke.vendor.yaml"):
        from fabric import Config, Connection
    # One Config per Connection: sharing one is not thread-safe.
    config = Config(lazy=True, ssh_config=paramiko.SSHConfig())
    config.authentication.strategy_class = partial(PublicKeyLogin, settings)
    connection = Connection(
        settings.hostname,
        user=settings.user,
        port=settings.port,
        config=config,
        gateway=False,
        forward_agent=False,
        connect_kwargs={
            "sock": connected.sock,
            "transport_factory": lambda sock, **_: negotiation,
            "banner_timeout": settings.connect_timeout_s,
            "auth_timeout": AUTH_TIMEOUT_S,
            "channel_timeout": CHANNEL_TIMEOUT_S,
        },
    )
    connection.client.set_missing_host_key_policy(StrictHostKeys(settings, known))
    connection.open()
    return connection


def open_session(connection: Connection, command: str) -> paramiko.Channel:
    """Run the command in a new session, without a terminal."""
    channel: paramiko.Channel = connection.create_session()
    channel.settimeout(SILENCE_TIMEOUT_S)
    channel.exec_command(command)
    return channel


def connect_error(
    exc: BaseException, settings: Settings, connected: OpenSocket, timed_out: bool
) -> BaseException:
    """The error for a failed connection. Ctrl-C and failures that may be retried are returned
    unchanged."""
    if isinstance(exc, ClosedBeforeGreeting) and connected.proxy:
        return connected.proxy.exit_error() or exc
    if not isinstance(exc, (paramiko.SSHException, OSError, EOFError)) or isinstance(
        exc, MlxopsError
    ):
        return exc
    fault = connected.proxy.exit_error() if connected.proxy else None
    return fault or connect_errors.opening_error(
        settings, exc, timed_out or "banner" in str(exc), type(exc).__name__
    )


class SshLink:
    """The agent at the end of a channel."""

    def __init__(
        self,
        connection: Connection,
        channel: paramiko.Channel,
        connected: OpenSocket,
        settings: Settings,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._socket = connected
        self._settings = settings
        self._tail = Tail()

    def send(self, payload: bytes) -> None:
        # paramiko's sendall of one big bytes object is quadratic.
        whole = memoryview(payload)
        try:
            for at in range(0, len(whole), CHUNK):
                self._channel.sendall(whole[at : at + CHUNK])  # type: ignore[arg-type]
        except (OSError, EOFError, paramiko.SSHException) as exc:
            # paramiko raises an empty EOFError if the socket ends while it writes.
            why = f"the link to {self._settings.address_label} broke: {exc}".rstrip(": ")
            raise LinkLost(why, stderr=self.stderr_tail()) from None

    def receive(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            # Checked before the buffers: bytes that arrived before the end must not be lost.
            ended = self._channel.eof_received or self._channel.closed
            self._drain()
            if self._channel.recv_ready():
                return self._channel.recv(CHUNK)
            if ended:
                return b""
            timeout_s = deadline - time.monotonic()
            if timeout_s <= 0 or not select.select([self._channel.fileno()], [], [], timeout_s)[0]:
                return None

    def _drain(self) -> None:
        for _ in range(MAX_READS):
            if not self._channel.recv_stderr_ready():
                return
            self._tail.feed(self._channel.recv_stderr(CHUNK))

    def stderr_tail(self) -> str:
        self._drain()
        return self._tail.text()

    def exit_status(self) -> int | None:
        if not self._channel.status_event.wait(EXIT_TIMEOUT_S) or self._channel.exit_status < 0:
            return None
        return self._channel.exit_status

    def close(self) -> None:
        # Transport.close() would wait for its thread; the end of the socket is enough for the host.
        with suppress(OSError):
            self._socket.sock.shutdown(socket.SHUT_RDWR)
        self._connection.transport.join(1.0)
        self._socket.close()
