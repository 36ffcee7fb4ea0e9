"""Whether a TCP port can be bound: the proof that nobody holds it any more."""

from __future__ import annotations

from typing import Iterator

from .facts import Unseen

# Each on its own: BSD lets 127.0.0.1 be bound beside a wildcard listener, and the wildcard beside 127.0.0.1.
EVERYWHERE = ("127.0.0.1", "::1", "0.0.0.0", "::")


def free(port: int, bind: str) -> bool:
    """True when the port can be bound on `bind` (an address or a name) and on each address of EVERYWHERE.

    A family or an address this machine does not have is passed over: nobody can listen on it.
    Raises Unseen when `bind` cannot be resolved, or for a refusal that does not say «in use».
    """
    addresses = dict.fromkeys((*EVERYWHERE, *_resolved(bind, port)))
    return all(_bindable(address, port) for address in addresses)


def _resolved(bind: str, port: int) -> Iterator[str]:
    import socket

    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise Unseen("the address %r cannot be resolved: %s" % (bind, exc)) from exc
    return (str(entry[4][0]) for entry in found)


def _bindable(address: str, port: int) -> bool:
    import errno

    try:
        _bind(address, port)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            return False
        if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise Unseen("binding %s port %d: %s" % (address, port, exc.strerror)) from exc
    return True


def _bind(address: str, port: int) -> None:
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address, port))
