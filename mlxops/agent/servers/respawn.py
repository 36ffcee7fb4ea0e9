"""Detect whether something restarts a server after it is stopped.

Before the stop only known supervisors count: a service of systemd, a program known by name, or a
shell that runs a loop.
After the stop, the port is watched for some seconds."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Tuple

from ..clock import Deadline, wait_for
from ..context import Context
from ..errors import Respawned
from ..ports.evidence import Server
from ..ports.observe import find_servers, scan
from ..ports.survey import PortSurvey
from ..procs import Process, Procs, Service, Unobservable, shellscript
from ..runtimes.commandline import base
from ..runtimes.table import Runtimes, recognise

WATCH_S, POLL_INTERVAL_S = 3.0, 0.2
# Programs that restart their children; each by its program name or, under an interpreter, its
# script name.
SUPERVISORS = (
    "supervisord",
    "runsv",
    "s6-supervise",
    "supervise",
    "honcho",
    "foreman",
    "overmind",
    "hivemind",
    "process-compose",
    "circusd",
    "pm2",
    "forever",
    "nodemon",
    "monit",
    "god",
    "llama-swap",
    "watchexec",
)
# These start programs for a person or a schedule, or inherit orphans.
HARMLESS = (
    "init",
    "systemd",
    "launchd",
    "tini",
    "dumb-init",
    "docker-init",
    "catatonit",
    "containerd-shim",
    "sshd",
    "sshd-session",
    "login",
    "su",
    "sudo",
    "doas",
    "tmux",
    "screen",
    "cron",
    "crond",
    "atd",
)
SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish", "ash")
WRAPPERS = (
    *SHELLS,
    "env",
    "nice",
    "nohup",
    "time",
    "caffeinate",
    "arch",
    "uv",
    "timeout",
    "setsid",
    "stdbuf",
)
MAX_COMMAND_LENGTH = 160
Table = Mapping[int, Process]


class Parent(NamedTuple):
    """The process that started a server."""

    process: Process

    @property
    def text(self) -> str:
        line = " ".join(self.process.argv)
        return "pid %d (%s)" % (
            self.process.pid,
            line if len(line) <= MAX_COMMAND_LENGTH else line[:MAX_COMMAND_LENGTH] + "...",
        )


def launched_by_mlxops(survey: PortSurvey) -> bool:
    """Whether mlxops started the server, so that nothing else waits for its end."""
    launchers = {(s.launcher.pid, s.launcher.start_time) for s in survey.evidence.proven}
    records = [e.process or {} for e in survey.entries]
    ours = [r for r in records if r.get("launched_by") not in (None, "adopted")]
    return any((r.get("pid"), r.get("start_time")) in launchers for r in ours)


def parent_of(table: Table, server: Server, known: Runtimes) -> Optional[Parent]:
    """The running process that started the server; None if that is init, a login or an interactive
    shell."""
    process = table.get(server.launcher.ppid)
    if process is None or process.pid <= 1 or process.zombie or _harmless(process):
        return None
    # A server of another port is not a supervisor.
    return None if recognise(process.argv, known) else Parent(process)


def _names(process: Process) -> Tuple[str, ...]:
    """The names of a process: its program, an interpreter's script, the title that pm2 sets."""
    first = base(process.argv[0]).lstrip("-").rstrip(":") if process.argv else ""
    script = next((base(word) for word in process.argv[1:2] if not word.startswith("-")), "")
    return (first, script, first.lower().partition(" ")[0])


def _harmless(process: Process) -> bool:
    name = _names(process)[0]
    return (
        not name
        or name.partition(" ")[0] in HARMLESS
        or (name in SHELLS and shellscript.shell_input(process.argv) is None)
    )


def find_restarter(procs: Procs, server: Server) -> Optional[Parent]:
    """The process known to restart the server; None if there is none."""
    table = procs.processes()
    process = table.get(server.launcher.ppid)
    while process is not None and process.pid > 1:
        if set(_names(process)) & set(SUPERVISORS):
            return Parent(process)
        if _names(process)[0] in SHELLS and shellscript.runs_loop(procs, process):
            return Parent(process)
        if _names(process)[0] not in WRAPPERS or _harmless(process):
            return None
        process = table.get(process.ppid)
    return None


def _find_service(procs: Procs, server: Server) -> Optional[Service]:
    """The service of systemd that restarts the server; None if there is none, or if systemd does
    not answer: a respawn is then noticed after the stop."""
    table, line = procs.processes(), list(server.processes)
    parent = table.get(server.launcher.ppid)
    while parent is not None and parent.pid > 1 and _names(parent)[0] in WRAPPERS:
        line.append(parent)
        parent = table.get(parent.ppid)
    try:
        return procs.restarting_service(line)
    except Unobservable:
        return None


def require_no_restarter(ctx: Context, survey: PortSurvey) -> None:
    """Raise Respawned if the server would come back in place of its successor."""
    if survey.server is None or launched_by_mlxops(survey):
        return
    port = survey.evidence.port
    service = _find_service(ctx.procs, survey.server)
    if service is not None:
        text = "the server on port %d is run by %s of systemd, which would start it again"
        hint = "on the host: %s; then run mlxops unload %d" % (service.stop_command, port)
        raise Respawned(text % (port, service.unit), hint, port=port, unit=service.unit)
    restarter = find_restarter(ctx.procs, survey.server)
    if restarter is not None:
        text = "the server on port %d was started by %s, which would start it again" % (
            port,
            restarter.text,
        )
        raise Respawned(text, _hint(restarter, port), port=port, **_fields(restarter))


def _hint(parent: Parent, port: int) -> str:
    return "stop pid %d on the host first, then run mlxops unload %d" % (parent.process.pid, port)


def _fields(parent: Optional[Parent]) -> Mapping[str, object]:
    return (
        {"parent": parent.process.pid, "parent_argv": list(parent.process.argv)} if parent else {}
    )


class RespawnWatch:
    """Created before a server is stopped, checked afterwards."""

    def __init__(self, ctx: Context, survey: PortSurvey) -> None:
        self._ctx, self._port = ctx, survey.evidence.port
        self._needed = survey.server is not None and not launched_by_mlxops(survey)
        self._before = {s.process.pid for s in survey.evidence.servers}
        self._server = survey.server
        self._parent: Optional[Parent] = None
        if survey.server and self._needed:
            self._parent = parent_of(ctx.procs.processes(), survey.server, ctx.site.runtimes)

    def check(self) -> Optional[Respawned]:
        """Raise Respawned if the port is in use again. Returned if the parent may still restart the
        server."""
        if not self._needed:
            return None
        pid = wait_for(self._back, Deadline(WATCH_S), POLL_INTERVAL_S)
        by = " by %s" % self._parent.text if self._parent else ""
        fields, port = {"port": self._port, **_fields(self._parent)}, self._port
        hint = "mlxops status %d; find out on the host what starts it" % port
        hint = _hint(self._parent, port) if self._parent else hint
        if pid:
            text = "port %d: the server was stopped, but was started again%s as pid %s" % (
                port,
                by,
                pid,
            )
            raise Respawned(text, hint, pid=pid, **fields)
        if self._parent is None or not self._waits(self._parent):
            return None
        text = (
            "port %d is free, but %s, which started its server, "
            "is still running and may start it again"
        )
        return Respawned(text % (port, self._parent.text), hint, **fields)

    def _back(self) -> Optional[int]:
        """The pid of the process that uses the port again."""
        try:
            snapshot = scan(self._ctx.procs, [self._port])
        except Unobservable:
            return None
        servers = find_servers(snapshot.processes, self._ctx.site.runtimes).get(self._port, ())
        pids = [s.process.pid for s in servers if s.process.pid not in self._before]
        pids += [
            listener.pid or 0
            for listener in snapshot.listeners or ()
            if listener.pid not in self._before
        ]
        return next(iter(pids), None)

    def _waits(self, parent: Parent) -> bool:
        """Whether the parent is running and has waited for its child; a parent that does not care
        leaves a zombie."""
        table = self._ctx.procs.processes()
        now, child = (
            table.get(parent.process.pid),
            table.get(self._server.launcher.pid) if self._server else None,
        )
        alive = now is not None and not now.zombie and now.start_time == parent.process.start_time
        return alive and not (child is not None and child.ppid == parent.process.pid)
