"""A host over SSH, through Fabric's Connection. The only module that names fabric and paramiko."""

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
# Between tries where sshd turns us away before its greeting, each jittered by half.
RETRY_PAUSES_S = (0.3, 0.6, 1.2, 2.0, 2.0)
AGENT_TIMEOUT_S = 10.0


with stubbed_imports("importlib.metadata", "invoke"):
    import paramiko

# What it would say of itself came from importlib.metadata.
paramiko.Transport._CLIENT_ID = "mlxops"  # type: ignore[attr-defined]
# Its loggers print tracebacks on stderr for every failure that is told here in words.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


class EarlyKeyExchange(paramiko.Transport):
    """Key exchange that begins when the object is made, so that it runs while the rest is
    imported."""

    def __init__(self, sock: socket.socket, settings: Settings, types: list[str]) -> None:
        super().__init__(sock)
        self.banner_timeout = self.handshake_timeout = settings.connect_timeout_s
        self.auth_timeout = AUTH_TIMEOUT_S
        self._limit = settings.connect_timeout_s + self.banner_timeout
        offered = self.get_security_options()
        first = [kind for kind in types if kind in offered.key_types]
        offered.key_types = [*first, *(kind for kind in offered.key_types if kind not in first)]
        self._done = threading.Event()
        self._said = b""
        self._readline = self.packetizer.readline
        self.packetizer.readline = self._heard  # type: ignore[method-assign]
        super().start_client(event=self._done)

    def start_client(
        self, event: threading.Event | None = None, timeout: float | None = None
    ) -> None:
        """What the client calls when it is ready to wait."""
        if not self._done.wait(self._limit):
            raise paramiko.SSHException("the key exchange did not end in time")
        if not self.is_active():
            fault = self.get_exception() or paramiko.SSHException("the key exchange failed")
            late = isinstance(fault.__context__, TimeoutError) or "timed out" in str(fault)
            if not self.remote_version and not late:
                raise ClosedBeforeGreeting(self._said.decode("utf-8", "replace")) from fault
            raise fault

    def _heard(self, timeout: float) -> str:
        """What the server says before its greeting; sshd says there why it will not talk."""
        line: str = self._readline(timeout)
        self._said = (self._said + line.encode("utf-8", "replace") + b"\n")[:MAX_GREETING_BYTES]
        return line


class ClosedBeforeGreeting(Exception):
    """The server closed the connection before its greeting. Carries what it said instead."""


class StrictHostKeys(paramiko.MissingHostKeyPolicy):
    """Refuses every key that known_hosts does not list. Our own reader, so the client's own lists
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
    """Public keys only, in ssh's own order; nothing is ever asked of a person."""

    def __init__(self, settings: Settings, **_: Any) -> None:
        self._settings = settings
        self._files: list[Identity] = find_identities(settings.identity_files)
        self._agent_keys: tuple[paramiko.AgentKey, ...] = ()
        self._encrypted: list[str] = []
        self._offered: list[str] = []
        self._allowed: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Log in, or raise LoginRefused with what was tried."""
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
            # For its banner, and for the methods it would take.
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
    """The keys of the agent at this socket, able to sign inside the block; none when there is no
    agent that answers."""
    agent = paramiko.agent.AgentSSH()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(AGENT_TIMEOUT_S)
        if path:
            with suppress(OSError, paramiko.SSHException):
                sock.connect(path)
                agent._connect(sock)  # type: ignore[attr-defined]
        yield agent.get_keys()


class SshTransport:
    """One connection, on a socket that is being dialled since before this module was imported."""

    def __init__(self, dialling: PendingSocket) -> None:
        self._dialling = dialling

    def open(self, python: str | None) -> SshLink:
        settings, dialled = self._dialling.result()
        end = time.monotonic() + settings.connect_timeout_s
        for tries, pause in enumerate((*RETRY_PAUSES_S, None), 1):
            try:
                return self._opened(settings, dialled, python)
            except ClosedBeforeGreeting as exc:
                wait = None if pause is None else pause * random.uniform(0.5, 1.5)
                said = str(exc)
                if (
                    wait is None
                    or dialled.proxy
                    or "Not allowed" in said
                    or time.monotonic() + wait > end
                ):
                    raise connect_errors.closed_early_error(settings, said, tries) from None
                # sshd takes so many logins at once, and no more: nothing was sent yet, so it is
                # simply tried again.
                time.sleep(wait)
                dialled = open_socket(settings)
        raise AssertionError("the last try has no pause")

    def _opened(self, settings: Settings, dialled: OpenSocket, python: str | None) -> SshLink:
        watchdog = Watchdog(
            dialled.sock, settings.connect_timeout_s * 2 + AUTH_TIMEOUT_S + CHANNEL_TIMEOUT_S
        )
        try:
            connection = log_in(settings, dialled)
            return SshLink(
                connection,
                open_session(connection, bundle.launch_command(python)),
                dialled,
                settings,
            )
        except BaseException as exc:
            fault = connect_error(exc, settings, dialled, watchdog.timed_out)
            dialled.close()
            raise fault from None
        finally:
            watchdog.cancel()


def log_in(settings: Settings, dialled: OpenSocket) -> Connection:
    """A logged-in Connection. Everything ssh has decided is given to it, so that it reads no file
    of its own."""
    known = [knownhosts.read_keys(settings.known_hosts, name) for name in settings.key_names]
    negotiation = EarlyKeyExchange(
        dialled.sock, settings, knownhosts.known_types([key for keys in known for key in keys])
    )
    with stubbed_imports("unittest", "unittest.mock", "invoke.vendor.yaml"):
        from fabric import Config, Connection
    # One Config per Connection: a shared one is not safe between threads.
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
            "sock": dialled.sock,
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
    """The command running in a session of its own, without a terminal."""
    channel: paramiko.Channel = connection.create_session()
    channel.settimeout(SILENCE_TIMEOUT_S)
    channel.exec_command(command)
    return channel


def connect_error(
    exc: BaseException, settings: Settings, dialled: OpenSocket, barked: bool
) -> BaseException:
    """The failure of an opening in words; what is not a failure (Ctrl-C), or may be tried again, as
    it is."""
    if isinstance(exc, ClosedBeforeGreeting) and dialled.proxy:
        return dialled.proxy.exit_error() or exc
    if not isinstance(exc, (paramiko.SSHException, OSError, EOFError)) or isinstance(
        exc, MlxopsError
    ):
        return exc
    fault = dialled.proxy.exit_error() if dialled.proxy else None
    return fault or connect_errors.opening_error(
        settings, exc, barked or "banner" in str(exc), type(exc).__name__
    )


class SshLink:
    """The agent at the other end of a channel."""

    def __init__(
        self,
        connection: Connection,
        channel: paramiko.Channel,
        dialled: OpenSocket,
        settings: Settings,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._dialled = dialled
        self._settings = settings
        self._tail = Tail()

    def send(self, payload: bytes) -> None:
        # paramiko's sendall of one big bytes object is quadratic.
        whole = memoryview(payload)
        try:
            for at in range(0, len(whole), CHUNK):
                self._channel.sendall(whole[at : at + CHUNK])  # type: ignore[arg-type]
        except (OSError, EOFError, paramiko.SSHException) as exc:
            # EOFError, without a word, is what paramiko makes of a socket that ends while it
            # writes.
            why = f"the link to {self._settings.address_label} broke: {exc}".rstrip(": ")
            raise LinkLost(why, stderr=self.stderr_tail()) from None

    def receive(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            # Read before the buffers: what arrived before the end must not be missed.
            ended = self._channel.eof_received or self._channel.closed
            self._drain()
            if self._channel.recv_ready():
                return self._channel.recv(CHUNK)
            if ended:
                return b""
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._channel.fileno()], [], [], left)[0]:
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
        # Transport.close() waits for its thread; the end of the socket tells the host as much.
        with suppress(OSError):
            self._dialled.sock.shutdown(socket.SHUT_RDWR)
        self._connection.transport.join(1.0)
        self._dialled.close()
