"""logs: the output of a port's server."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, NoReturn

from ..context import Context
from ..errors import Usage
from ..logs.source import LogSource, current_log, previous_log
from ..logs.tail import MAX_SCAN_BYTES, Follower, TailStart, find_tail_start, lines_between

POLL_INTERVAL_S = 0.2
# More than this is sent in events before the result.
MAX_RESULT_BYTES = 1 << 20


def logs(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    port = ctx.site.require_port(args["port"])
    follow, before = bool(args.get("follow")), bool(args.get("previous"))
    if follow and before:
        raise Usage(
            "the log of an earlier server does not grow", "mlxops logs %d --previous" % port
        )
    source = previous_log(ctx, port) if before else current_log(ctx, port)
    end = os.fstat(source.fd).st_size
    start = find_tail_start(source.fd, int(args.get("lines") or 0), end)
    note = _note(source, start, end)
    if note:
        ctx.client.emit("warning", message=note)
    if follow:
        _follow(ctx, Follower(source.current_path, source.fd, start))
    lines: List[str] = []
    for some in lines_between(source.fd, start, end):
        ctx.client.check()
        if end - start.offset <= MAX_RESULT_BYTES:
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


def _note(source: LogSource, start: TailStart, end: int) -> str:
    """The warning for the reader of these lines."""
    cut = "showing only the last %d MiB of %s (%d MiB)" % (
        MAX_SCAN_BYTES >> 20,
        source.path,
        end >> 20,
    )
    return "; ".join([*filter(None, [source.note]), *([cut] if start.torn else [])])


def _follow(ctx: Context, follower: Follower) -> NoReturn:
    """Emit new lines until the client leaves, also if the file is replaced."""
    while True:
        ctx.client.check()
        lines = follower.more()
        for line in lines:
            ctx.client.emit("log", line=line)
        if not lines:
            time.sleep(POLL_INTERVAL_S)
