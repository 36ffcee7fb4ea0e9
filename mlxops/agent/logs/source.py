"""Find the log of a port's server: mlxops' own, or the file its output goes to."""

from __future__ import annotations

import os
from typing import NamedTuple, NoReturn, Optional

from ..context import Context
from ..errors import Failed, MlxopsError, mlxops_command
from ..ports.observe import recorded_process
from ..procs import Output, Process, Unobservable
from ..site import log_path
from .tail import open_log


class LogSource(NamedTuple):
    """An open log. `path`: its path; `current_path`: where the next server's log will be. `note`: a
    warning for the reader."""

    fd: int
    path: str
    current_path: str
    note: str = ""


def previous_log(ctx: Context, port: int) -> LogSource:
    """The log of the earlier server, or the part of this server's log that was truncated."""
    path = log_path(ctx.site.state_dir, port) + ".1"
    if not os.path.exists(path):
        raise Failed("port %d has no earlier log" % port, "mlxops logs %d" % port, path=path)
    return LogSource(_open(path), path, path)


def current_log(ctx: Context, port: int) -> LogSource:
    """The log of the port's server, or of the last one if none is running; else Failed."""
    ours = log_path(ctx.site.state_dir, port)
    server = _server(ctx, port)
    output = _output(ctx, server)
    if server is None or output is None:
        return _own_log(ours, server, port)
    if _same_file(output.path, ours):
        return LogSource(_open(ours), ours, ours)
    return _foreign_log(ctx, port, ours, server, output)


def _server(ctx: Context, port: int) -> Optional[Process]:
    """The process that listens on the port, else the recorded one; None if neither can be observed.

    An unreadable registry does not prevent reading a log.
    """
    try:
        for listener in ctx.procs.listeners([port]):
            if listener.pid is not None:
                return ctx.procs.process(listener.pid)
        table = ctx.procs.processes()
        found = (recorded_process(table, entry) for entry in ctx.store.read().holders(port))
        return next((process for process in found if process), None)
    except (Unobservable, MlxopsError):
        return None


def _output(ctx: Context, server: Optional[Process]) -> Optional[Output]:
    try:
        return ctx.procs.output(server.pid) if server else None
    except Unobservable:
        return None


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _own_log(ours: str, server: Optional[Process], port: int) -> LogSource:
    strange = server is not None and server.uid not in (None, os.geteuid())
    if not os.path.lexists(ours):
        if strange:
            _fail(
                "the server on port %d (pid %d) belongs to user id %d; this account cannot read"
                " its log" % (port, server.pid if server else 0, server.uid or 0 if server else 0),
                "read it as that user, or as the user who started it",
                ours,
            )
        _fail(
            "no server has been started on port %d yet" % port,
            "mlxops status %d" % port,
            ours,
        )
    note = (
        "pid %d on port %d belongs to another user; this is the log of an earlier server"
        if strange
        else ""
    )
    return LogSource(
        _open(ours), ours, ours, note % (server.pid, port) if strange and server else ""
    )


def _foreign_log(ctx: Context, port: int, ours: str, server: Process, output: Output) -> LogSource:
    """The server writes to another file: its log was moved, or mlxops did not start it."""
    text = "the output of pid %d on port %d goes to %s" % (server.pid, port, output.name)
    why = "its log was moved" if _started_here(ctx, port, server) else "mlxops did not start it"
    try:
        return LogSource(open_log(output.path), output.name, ours, "%s: %s" % (text, why))
    except (OSError, Failed) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a regular file"
        if os.path.exists(ours):
            note = "%s (%s): %s; this is the log of an earlier server" % (text, reason, why)
            return LogSource(_open(ours), ours, ours, note)
        _fail(
            "%s, which cannot be shown (%s): %s" % (text, reason, why),
            mlxops_command("show", port),
            ours,
        )


def _started_here(ctx: Context, port: int, server: Process) -> bool:
    """Whether mlxops started it: it is in the registry, and not as adopted."""
    try:
        holders = ctx.store.read().holders(port)
    except MlxopsError:
        return False
    return any(
        (entry.process or {}).get("launched_by") not in (None, "adopted") for entry in holders
    )


def _open(path: str) -> int:
    try:
        return open_log(path)
    except OSError as exc:
        raise Failed(
            "cannot read the server's log %s: %s" % (path, exc.strerror),
            "read it as its owner",
            path=path,
        ) from exc


def _fail(message: str, hint: str, path: str) -> NoReturn:
    raise Failed(message, hint, path=path)
