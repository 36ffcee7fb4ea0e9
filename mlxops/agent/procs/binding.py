"""Ask the kernel about a TCP port by binding it or connecting to it: that covers the sockets of all
users."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Iterable, Iterator, Tuple

from ..errors import Unobservable
from .facts import Listener

if TYPE_CHECKING:
    import socket

# Each separately: BSD allows 127.0.0.1 beside a wildcard listener, and the reverse.
EVERYWHERE = ("127.0.0.1", "::1", "0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "::1")
CONNECT_TIMEOUT_S = 0.5
NO_LISTENER_ERRNOS = (
    errno.ECONNREFUSED,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
)


class Ports:
    """What every platform answers about addresses and ports by binding them."""

    def free(self, port: int, bind: str) -> bool:
        return all(_bindable(address, port) for address in _addresses(bind, port))

    def held(self, port: int, bind: str, known: Iterable[Listener]) -> Tuple[str, ...]:
        known = [one for one in known if one.port == port]
        return tuple(
            a
            for a in _addresses(bind, port)
            if not any(_may_hold(one, a) for one in known) and not _bindable(a, port)
        )

    def local(self, bind: str) -> bool:
        absent = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        for address in _resolved(bind, 0):
            try:
                _bind(address, 0)
                return True
            except OSError as exc:
                if exc.errno not in absent:
                    return True
        return False


def _addresses(bind: str, port: int) -> Iterable[str]:
    """Where a server on `bind` may conflict with another one."""
    return dict.fromkeys((*EVERYWHERE, *_resolved(bind, port)))


def _may_hold(listener: Listener, address: str) -> bool:
    """Whether the listener prevents binding the address: it has the same family, or both."""
    if listener.address in ("::", "*", ""):
        return True
    return (":" in listener.address) == (":" in address)


def _resolved(bind: str, port: int) -> Iterator[str]:
    import socket

    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise Unobservable("cannot resolve the address %r: %s" % (bind, exc)) from exc
    return (str(entry[4][0]) for entry in found)


def _bindable(address: str, port: int) -> bool:
    try:
        _bind(address, port)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            return False
        if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise Unobservable("binding %s port %d: %s" % (address, port, exc.strerror)) from exc
    return True


def _bind(address: str, port: int) -> None:
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address, port))


def has_hidden_listener(port: int, known: Iterable[Listener]) -> bool:
    """Whether something answers on loopback that no known listener explains.

    Connects instead of binding: even a short bind could hit a server that is just taking its
    port."""
    known = tuple(known)
    return any(
        _answers(address, port) for address in LOOPBACK if not explains(known, port, address)
    )


def explains(known: Iterable[Listener], port: int, address: str) -> bool:
    """Whether one of the known listeners may answer a connection to this address."""
    wildcards = ("::",) if ":" in address else ("0.0.0.0", "::")
    return any(one.port == port and one.address in (address, *wildcards) for one in known)


def _answers(address: str, port: int) -> bool:
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            return reaches(probe, address, port)
    except OSError as exc:
        if exc.errno in NO_LISTENER_ERRNOS:
            return False
        raise Unobservable("connecting to %s port %d: %s" % (address, port, exc.strerror)) from exc


def reaches(probe: socket.socket, address: str, port: int) -> bool:
    """Anything but a refusal counts: a listener with a full queue is one too."""
    code = probe.connect_ex((address, port))
    # Without a listener, a socket whose own port is this one connects to itself.
    return code not in NO_LISTENER_ERRNOS and not (
        code == 0 and probe.getsockname() == probe.getpeername()
    )
