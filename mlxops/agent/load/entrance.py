"""Can a server take the port at all: an address of this machine, and nobody who holds the port without listening."""

from __future__ import annotations

from typing import Iterable

from ..context import Command
from ..errors import EvidenceUnknown, Failed, PortBusy
from ..ports.survey import Ground
from ..procs import Listener, Unseen


def check(command: Command, ground: Ground) -> None:
    """Raises where a server of this host could not bind the port; its occupant's own listeners do not count."""
    bind, port = command.site.bind, ground.seen.port
    try:
        if not command.procs.local(bind):
            raise Failed(
                "%s, where servers of %s should listen, is not an address of that machine" % (bind, command.site.name),
                "correct bind in the host file",
                bind=bind,
            )
        # A server that starts just now must not find our own probe in its place.
        if ground.server is None or ground.seen.listeners:
            refuse_held(command, port, ground.seen.listeners or ())
    except Unseen as exc:
        raise EvidenceUnknown("whether port %d is free cannot be seen: %s" % (port, exc.reason), port=port) from exc


def refuse_held(command: Command, port: int, listeners: Iterable[Listener] = ()) -> None:
    """PortBusy where a socket holds the port that none of the listeners explains."""
    held = command.procs.held(port, command.site.bind, listeners)
    if held:
        raise PortBusy(
            "port %d is taken on %s by a process that does not listen" % (port, " and ".join(held)),
            "find it on the host: sudo lsof -nP -i :%d" % port,
            port=port,
            addresses=list(held),
        )
