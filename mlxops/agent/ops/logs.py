"""logs: the output of the servers of one or several ports."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import (
    Any,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Pattern,
    Union,
)

from ..clock import now
from ..context import Context
from ..errors import MlxopsError, RegistryInvalid, Usage, to_mlxops_error
from ..logs.last_start import last_start
from ..logs.selection import Line, Selection, compiled, has_time
from ..logs.source import LogSource, current_log, previous_log
from ..logs.tail import (
    MAX_SCAN_BYTES,
    Follower,
    TailStart,
    find_tail_start,
    last_line_end,
    lines_between,
)
from ..ports.portname import PortResolver
from ..registry import resolve
from ..wire.values import moment_s

POLL_INTERVAL_S = 0.2
# More than this is sent in events before the result.
MAX_RESULT_BYTES = 1 << 20


class Query(NamedTuple):
    """Which lines of a log. `limit`: at most so many, the last ones; None for all. `since`: seconds
    since the epoch."""

    limit: Optional[int]
    since: Optional[float]
    pattern: Optional[Pattern[str]]

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> Query:
        count = args.get("lines")
        return cls(
            limit=None if count is None else int(count),
            since=moment_s(args["since"]) if args.get("since") else None,
            pattern=compiled(args["grep"]) if "grep" in args else None,
        )

    @property
    def filters(self) -> bool:
        return self.since is not None or self.pattern is not None


class _Port(NamedTuple):
    """A port whose log is read. `previous`: that of its earlier server."""

    number: int
    previous: bool


def logs(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """One row for one port; {"logs": rows} for several, also if some of them have no log."""
    follow, before = bool(args.get("follow")), bool(args.get("previous"))
    if follow and before:
        raise Usage("the log of an earlier server does not grow", "mlxops logs PORT --previous")
    query = Query.from_args(args)
    words = args.get("ports") or ([args["port"]] if "port" in args else [])
    if not words:
        raise Usage("logs needs a port", "mlxops logs PORT")
    ports = list(dict.fromkeys(_resolved(ctx, word, before) for word in words))
    if follow:
        _follow(ctx, ports, query)
    if len(ports) == 1:
        return _Reading(ctx, ports[0], query).row()
    return {"logs": [_row_or_error(ctx, port, query) for port in ports]}


def _resolved(ctx: Context, word: Union[int, str], previous: bool) -> _Port:
    """The port that the word means, or where the entry of this name was last started."""
    if not isinstance(word, str):
        return _Port(ctx.site.require_port(word), previous)
    try:
        return _Port(PortResolver(ctx, "logs").resolve(word), previous)
    except Usage as exc:
        start = _last_start(ctx, word)
        if start is None:
            if "entry" in exc.fields:
                exc.message += ", and no log of an earlier start is kept"
            raise
        return _Port(ctx.site.require_port(start.number), previous or start.previous)


def _last_start(ctx: Context, word: str) -> Optional[_Port]:
    try:
        entry = resolve.find_exact(ctx.store.read(), word)
    except RegistryInvalid:
        return None
    start = last_start(ctx, entry.name) if entry is not None else None
    return _Port(start.port, start.previous) if start is not None else None


def _row_or_error(ctx: Context, port: _Port, query: Query) -> Dict[str, Any]:
    try:
        return {**_Reading(ctx, port, query).row(), "error": None}
    except MlxopsError as exc:
        error = to_mlxops_error(exc).to_wire()
        return {"port": port.number, "path": None, "lines": [], "times": [], "error": error}


class _Reading:
    """One log, read from its chosen beginning to its present end."""

    def __init__(self, ctx: Context, port: _Port, query: Query) -> None:
        self.ctx, self.port, self.query = ctx, port.number, query
        source = previous_log if port.previous else current_log
        self.source: LogSource = source(ctx, port.number)
        self.end = os.fstat(self.source.fd).st_size
        self._found = 0

    def row(self) -> Dict[str, Any]:
        """The row of the result. A large answer goes ahead in blocks, so that the link stays
        alive."""
        lines: List[Line] = []
        size = 0
        for some in self._chosen(self.end):
            lines, size = lines + some, size + sum(len(line.text) for line in some)
            if size > MAX_RESULT_BYTES:
                self.send(lines)
                lines, size = [], 0
        return {
            "port": self.port,
            "path": self.source.path,
            "lines": [line.text for line in lines],
            "times": [line.stamp for line in lines],
            "found": self._found,
            "size_bytes": self.end,
        }

    def followed(self) -> Follower:
        """Send the chosen lines there are; the rest is for the follower."""
        end = last_line_end(self.source.fd, self.end)
        for lines in self._chosen(end):
            self.send(lines)
        return Follower(self.source.current_path, self.source.fd, TailStart(end, 0))

    def send(self, lines: List[Line]) -> None:
        if lines:
            texts, times = [line.text for line in lines], [line.stamp for line in lines]
            self.ctx.client.emit("log", port=self.port, lines=texts, times=times)

    def _chosen(self, end: int) -> Iterator[List[Line]]:
        """The chosen lines before `end`, in blocks."""
        if not self.query.filters:
            start = find_tail_start(self.source.fd, self.query.limit or 0, end)
            self._warn(start.torn)
            self._found = start.found
            yield from map(Selection().chosen, self._blocks(start, end))
            return
        start = TailStart(max(0, end - MAX_SCAN_BYTES), 0, torn=end > MAX_SCAN_BYTES)
        self._warn(start.torn)
        blocks: Iterator[List[Line]] = map(
            self._selection(start, end).chosen, self._blocks(start, end)
        )
        if self.query.limit is not None:
            last: Deque[Line] = deque((line for some in blocks for line in some), self.query.limit)
            blocks = iter([list(last)])
        for some in blocks:
            self._found += len(some)
            yield some

    def _blocks(self, start: TailStart, end: int) -> Iterator[List[str]]:
        for some in lines_between(self.source.fd, start, end):
            self.ctx.client.check()
            yield some

    def _selection(self, start: TailStart, end: int) -> Selection:
        """What the query asks for; without its time, and with a warning, if no line has one."""
        since = self.query.since
        if since is not None and end and not any(map(has_time, self._blocks(start, end))):
            text = "no line of %s has a time, so --since is ignored" % self.source.path
            self.ctx.client.emit("warning", message=text)
            since = None
        return Selection(since, self.query.pattern)

    def _warn(self, torn: bool) -> None:
        """Warn the reader of these lines."""
        size = self.end >> 20
        cut = "showing only the last %d MiB of %s (%d MiB)" % (
            MAX_SCAN_BYTES >> 20,
            self.source.path,
            size,
        )
        note = "; ".join([*filter(None, [self.source.note]), *([cut] if torn else [])])
        if note:
            self.ctx.client.emit("warning", message=note)


def _follow(ctx: Context, ports: List[_Port], query: Query) -> NoReturn:
    """Emit new lines until the client leaves, also if a file is replaced. A line without a time of
    its own has that of its arrival."""
    readings = [_Reading(ctx, port, query) for port in ports]
    followers = [(reading.port, reading.followed()) for reading in readings]
    selection = Selection(None, query.pattern)
    while True:
        ctx.client.check()
        count = 0
        for port, follower in followers:
            for line in selection.chosen(follower.more()):
                count += 1
                ctx.client.emit("log", port=port, line=line.text, at=line.stamp or now())
        if not count:
            time.sleep(POLL_INTERVAL_S)
