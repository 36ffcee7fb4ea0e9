"""Connections to a host: start a fixed command there and exchange bytes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..hosts.files import Host


class Link(Protocol):
    """A command that runs on the host."""

    def send(self, payload: bytes) -> None:
        """Write to its stdin; LinkLost if it accepts no more."""

    def receive(self, timeout: float) -> bytes | None:
        """Some bytes of its stdout; None if none arrived within `timeout` seconds, b"" at the end.
        Also drains stderr."""

    def stderr_tail(self) -> str:
        """The last lines it wrote to stderr."""

    def exit_status(self) -> int | None:
        """Its exit status; None if unknown: it was killed, still runs, or the link broke."""

    def close(self) -> None:
        """Close the link at once. The command on the host reads the end of its stdin."""


class Transport(Protocol):
    def open(self, python: str | None) -> Link:
        """Start the loader on the host under this interpreter; None picks the best one there.

        Raises HostUnreachable, HostKeyRefused, LoginRefused, LinkLost."""


def open_for(host: Host) -> Transport:
    """The transport that the host file selects. It starts to connect at once, and imports only its
    own libraries."""
    if host.transport == "local":
        from .local import Local

        return Local()
    from .connect import PendingSocket

    pending = PendingSocket(host.ssh)
    # These imports take 0.1 s; the connection is made meanwhile.
    from .ssh import SshTransport

    return SshTransport(pending)
