"""The ways to a host, under one contract: open a fixed command there and talk bytes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..hosts.files import Host


class Link(Protocol):
    """One command running on the host."""

    def send(self, payload: bytes) -> None:
        """Write to its stdin; LinkLost when it takes none any more."""

    def receive(self, timeout: float) -> bytes | None:
        """Some bytes of its stdout; None when none came for `timeout` seconds, b"" at the end.
        Drains stderr too."""

    def stderr_tail(self) -> str:
        """The last lines it wrote to stderr."""

    def exit_status(self) -> int | None:
        """How it ended; None when that is not known: it was killed, runs on, or the link broke."""

    def close(self) -> None:
        """End the link at once. What runs on the host sees the end of its stdin."""


class Transport(Protocol):
    def open(self, python: str | None) -> Link:
        """Start the loader on the host under this interpreter, or the best one found there when
        None.

        Raises HostUnreachable, HostKeyRefused, LoginRefused, LinkLost."""


def open_for(host: Host) -> Transport:
    """The transport a host file asks for, reaching for the host already. Only its own libraries are
    imported."""
    if host.transport == "local":
        from .local import Local

        return Local()
    from .connect import PendingSocket

    pending = PendingSocket(host.ssh)
    # A tenth of a second of imports, during which the connection is made.
    from .ssh import SshTransport

    return SshTransport(pending)
