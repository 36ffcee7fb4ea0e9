"""logs: what a port's server printed."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, NoReturn

from ..context import Context
from ..errors import Usage
from ..logs.source import Source, current, previous
from ..logs.tail import MOST_BYTES, Follower, Start, between, start_of

LOOK_EVERY_S = 0.2
# More than this comes in pieces, before the result.
MOST_IN_RESULT = 1 << 20


def logs(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    port = ctx.site.need_port(args["port"])
    follow, before = bool(args.get("follow")), bool(args.get("previous"))
    if follow and before:
        raise Usage(
            "nothing is added to the log of an earlier server", "mlxops logs %d --previous" % port
        )
    source = previous(ctx, port) if before else current(ctx, port)
    end = os.fstat(source.fd).st_size
    start = start_of(source.fd, int(args.get("lines") or 0), end)
    note = _note(source, start, end)
    if note:
        ctx.client.emit("warning", message=note)
    if follow:
        _follow(ctx, Follower(source.standing, source.fd, start))
    lines: List[str] = []
    for some in between(source.fd, start, end):
        ctx.client.check()
        if end - start.offset <= MOST_IN_RESULT:
            lines += some
        elif some:
            ctx.client.emit("log", lines=some)
    return {
        "port": port,
        "path": source.path,
        "lines": lines,
        "found": start.found,
        "size_bytes": end,
    }


def _note(source: Source, start: Start, end: int) -> str:
    """What somebody should know who reads these lines."""
    cut = "only the last %d MiB of %s are shown, of %d MiB" % (
        MOST_BYTES >> 20,
        source.path,
        end >> 20,
    )
    return "; ".join([*filter(None, [source.note]), *([cut] if start.torn else [])])


def _follow(ctx: Context, follower: Follower) -> NoReturn:
    """Emit lines as they come until the client leaves; whatever becomes of the file meanwhile."""
    while True:
        ctx.client.check()
        lines = follower.more()
        for line in lines:
            ctx.client.emit("log", line=line)
        if not lines:
            time.sleep(LOOK_EVERY_S)
