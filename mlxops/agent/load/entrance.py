"""Can a server take the port at all: an address of this machine, nobody who holds the port without
listening, and programs that start. They are asked for their help afresh while the old server
serves: what they said once proves nothing where a module of theirs has gone since."""

from __future__ import annotations

from typing import Iterable, Sequence, Union

from ..context import Context
from ..errors import EvidenceUnknown, Failed, Interrupted, MlxopsError, PortBusy
from ..ports.survey import Ground
from ..procs import Listener, Unseen
from ..programs import find as programs
from ..runtimes.table import Offered, Runtime
from ..servers.start import Service
from .request import Preparation, no_way_back
from .restart import Lost


def check(ctx: Context, ground: Ground) -> None:
    """Raises where a server of this host could not bind the port; its occupant's own listeners do
    not count."""
    bind, port = ctx.site.bind, ground.seen.port
    try:
        if not ctx.procs.local(bind):
            raise Failed(
                "%s, where servers of %s should listen, is not an address of that machine"
                % (bind, ctx.site.name),
                "correct bind in the host file",
                bind=bind,
            )
        # A server that starts just now must not find our own probe in its place.
        if ground.server is None or ground.seen.listeners:
            refuse_held(ctx, port, ground.seen.listeners or ())
    except Unseen as exc:
        raise EvidenceUnknown(
            "whether port %d is free cannot be seen: %s" % (port, exc.reason), port=port
        ) from exc


def refuse_held(ctx: Context, port: int, listeners: Iterable[Listener] = ()) -> None:
    """PortBusy where a socket holds the port that none of the listeners explains."""
    held = ctx.procs.held(port, ctx.site.bind, listeners)
    if held:
        raise PortBusy(
            "port %d is taken on %s by a process that does not listen" % (port, " and ".join(held)),
            "find it on the host: sudo lsof -nP -i :%d" % port,
            port=port,
            addresses=list(held),
        )


def stops(prepared: Preparation) -> bool:
    """Whether the load stops a server, on its port or to make room."""
    evicts = prepared.order.evict and prepared.fit is not None and bool(prepared.fit.unload)
    return not prepared.done and (prepared.ground.server is not None or evicts)


def checked(ctx: Context, prepared: Preparation) -> Preparation:
    """The preparation; Failed where the runtime does not start, PortBusy where the one of the way
    back does not."""
    if not stops(prepared):
        return prepared
    asked(ctx, prepared.runtime, prepared.words, fresh=True)
    previous = _previous(ctx, prepared)
    if isinstance(previous, Lost) and prepared.order.rollback and not prepared.order.dry_run:
        raise no_way_back(previous, prepared.order)
    return prepared._replace(previous=previous)


def asked(ctx: Context, runtime: Runtime, words: Sequence[str], fresh: bool) -> Offered:
    return programs.help_flags(
        runtime, words, ctx.site.state_dir, ctx.say, ctx.client.check, fresh=fresh
    )


def _previous(ctx: Context, prepared: Preparation) -> Union[Service, Lost, None]:
    previous = prepared.previous
    if not isinstance(previous, Service) or previous.runtime.name == prepared.runtime.name:
        return previous
    try:
        asked(ctx, previous.runtime, programs.command(ctx.site, previous.runtime), fresh=True)
    except Interrupted:
        raise
    except MlxopsError as exc:
        return Lost(exc.message)
    return previous
