"""macOS, through tools that every Mac has. Only their paths need a Mac: Linux' lsof and ps work
too."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from ...errors import Unobservable
from .. import binding, blocks, signals
from ..facts import Boot, LaunchdJob, Listener, Memory, Output, Process, Service, Traffic
from ..tool import ToolOutput, run_tool
from . import procargs, rusage
from . import text as mactext

TOOL_TIMEOUT_S = 10.0
MIB = 1 << 20
# `launchctl print` of a domain that does not exist, such as gui/UID while nobody is logged in.
NO_DOMAIN = ("Could not find domain", "Domain does not support specified action")
IGNORED_LABELS = ("com.apple.", "application.")


class Tools(NamedTuple):
    lsof: str = "/usr/sbin/lsof"
    ps: str = "/bin/ps"
    netstat: str = "/usr/sbin/netstat"
    sysctl: str = "/usr/sbin/sysctl"
    vm_stat: str = "/usr/bin/vm_stat"
    launchctl: str = "/bin/launchctl"


class Darwin(binding.Ports):
    # A look starts ps or netstat and reads the arguments of every process: some 10 ms.
    max_poll_interval_s = 1.0

    def __init__(self, patience_s: float = TOOL_TIMEOUT_S, **paths: str) -> None:
        """`paths` replaces single fields of Tools; a tool that takes longer than `patience_s` has
        not answered."""
        self._tools = Tools(**paths)
        self._patience_s = patience_s

    def processes(self) -> Dict[int, Process]:
        table = self._ps("-A")
        if 1 not in table:
            raise Unobservable("%s does not show the processes of other users" % self._tools.ps)
        return table

    def process(self, pid: int) -> Optional[Process]:
        if not signals.exists(pid):
            return None
        found = self._ps("-p", str(pid)).get(pid)
        if found is None and signals.exists(pid):
            raise Unobservable("process %d exists but %s does not show it" % (pid, self._tools.ps))
        return found

    def some(self, pids: Iterable[int]) -> Dict[int, Process]:
        wanted = ",".join(map(str, pids))
        return self._ps("-p", wanted) if wanted else {}

    def boot(self) -> Boot:
        answer = self._ask(self._tools.sysctl, "-n", "kern.boottime")
        if answer.code != 0:
            raise Unobservable("%s: %s" % (self._tools.sysctl, answer.error_line()))
        try:
            return Boot(mactext.boot_time(answer.out), "")
        except ValueError as exc:
            _garbled(self._tools.sysctl, exc)

    def variable(self, pid: int, name: str) -> str:
        raw = procargs.raw_reader()(pid)
        words = procargs.environment(raw) if raw else ()
        return next((word[len(name) + 1 :] for word in words if word.startswith(name + "=")), "")

    def folder(self, pid: int) -> Optional[str]:
        answer = self._ask(self._tools.lsof, "-nPw", "-a", "-p", str(pid), "-d", "cwd", "-Fn")
        return next((line[1:] for line in answer.out.splitlines() if line.startswith("n/")), None)

    def files(self, pid: int) -> Tuple[str, ...]:
        answer = self._ask(self._tools.lsof, "-nPw", "-a", "-p", str(pid), "-d", "0-1023", "-Fn")
        return tuple(
            sorted({line[1:] for line in answer.out.splitlines() if line.startswith("n/")})
        )

    def listeners(self, ports: Iterable[int]) -> Tuple[Listener, ...]:
        numbers = sorted(set(ports))
        if not numbers:
            return ()
        # Unless run by root, lsof only shows this user's sockets.
        own = self._lsof(numbers)
        hidden = [port for port in numbers if binding.has_hidden_listener(port, own)]
        return own + self._of_others(hidden, own)

    def connections(self, port: int) -> int:
        answer = self._ask(self._tools.netstat, "-anv", "-p", "tcp")
        try:
            return mactext.connected(answer.out, port)
        except ValueError as exc:
            _garbled(self._tools.netstat, exc)

    def traffic(self, ports: Iterable[int]) -> Dict[int, Traffic]:
        answer = self._ask(self._tools.netstat, "-anv", "-p", "tcp")
        try:
            return mactext.traffic(answer.out, frozenset(ports))
        except ValueError as exc:
            _garbled(self._tools.netstat, exc)

    def send(self, process: Process, signum: int) -> bool:
        now = self.process(process.pid)
        if now is None or now.zombie or now.start_time != process.start_time:
            return False
        return signals.kill(process.pid, signum)

    def output(self, pid: int) -> Optional[Output]:
        answer = self._ask(self._tools.lsof, "-nPw", "-a", "-p", str(pid), "-d", "1", "-Fn")
        _found_or_none(self._tools.lsof, answer)
        name = mactext.name(answer.out)
        return Output(name, name) if name else None

    def memory(self) -> Memory:
        total = self._ask(self._tools.sysctl, "-n", "hw.memsize")
        pages = self._ask(self._tools.vm_stat)
        for answer, name in ((total, self._tools.sysctl), (pages, self._tools.vm_stat)):
            if answer.code != 0:
                raise Unobservable("%s: %s" % (name, answer.error_line()))
        try:
            return Memory(
                int(total.out), mactext.available(pages.out), self._wired_limit(int(total.out))
            )
        except ValueError as exc:
            _garbled("memory", exc)

    def footprint(self, processes: Iterable[Process]) -> Optional[int]:
        sizes = [rusage.footprint(process.pid) or process.rss_bytes for process in processes]
        known = [size for size in sizes if size is not None]
        return sum(known) if known else None

    def bytes_read(self, pids: Iterable[int]) -> Optional[int]:
        known = [rusage.bytes_read(pid) for pid in pids]
        return None if None in known else sum(filter(None, known))

    def launchd_jobs(self) -> Tuple[LaunchdJob, ...]:
        uid = os.getuid()
        domains = ("system", "gui/%d" % uid, "user/%d" % uid)
        return tuple(
            self._with_program(job) for domain in domains for job in self._services(domain)
        )

    def restarting_service(self, processes: Iterable[Process]) -> Optional[Service]:
        return None

    def reserve(self, fd: int, size: int) -> bool:
        return blocks.preallocate(fd, size)

    def sync(self, fd: int) -> None:
        import fcntl

        # fsync on macOS leaves the content in the drive's own cache (fsync(2)).
        full = getattr(fcntl, "F_FULLFSYNC", None)
        try:
            if full is None:
                os.fsync(fd)
            else:
                fcntl.fcntl(fd, full)
        except OSError:
            if full is None:
                raise
            os.fsync(fd)

    def lockers(self, path: str) -> Tuple[int, ...]:
        answer = self._ask(self._tools.lsof, "-w", "-t", "--", path)
        _found_or_none(self._tools.lsof, answer)
        return tuple(
            int(word) for word in answer.out.split() if word.isdigit() and int(word) != os.getpid()
        )

    def _ask(self, *argv: str) -> ToolOutput:
        return run_tool(argv, self._patience_s)

    def _ps(self, *selection: str) -> Dict[int, Process]:
        # A column per -o: by POSIX, what follows a «=» is the header, commas included.
        columns = [word for name in mactext.PS_COLUMNS for word in ("-o", name + "=")]
        answer = self._ask(self._tools.ps, "-ww", *columns, *selection)
        _found_or_none(self._tools.ps, answer)
        try:
            table = mactext.processes(answer.out)
        except ValueError as exc:
            _garbled(self._tools.ps, exc)
        words = procargs.reader()
        return {pid: procargs.exact(process, words(pid)) for pid, process in table.items()}

    def _lsof(self, ports: Sequence[int]) -> Tuple[Listener, ...]:
        where = "-iTCP:" + ",".join(str(port) for port in ports)
        # -w: warnings about file systems would look like errors on stderr.
        answer = self._ask(
            self._tools.lsof, "-nPw", where, "-sTCP:LISTEN", "-F" + mactext.LSOF_FIELDS
        )
        _found_or_none(self._tools.lsof, answer)
        try:
            return mactext.listeners(answer.out)
        except ValueError as exc:
            _garbled(self._tools.lsof, exc)

    def _of_others(self, ports: List[int], own: Tuple[Listener, ...]) -> Tuple[Listener, ...]:
        """Listeners that lsof did not show on ports where something answers; named by netstat if
        possible."""
        if not ports:
            return ()
        rows = [
            row for row in self._netstat(ports) if not binding.explains(own, row.port, row.address)
        ]
        unnamed = set(ports) - {row.port for row in rows}
        return tuple(rows) + tuple(
            Listener(port, "127.0.0.1", None, None) for port in sorted(unnamed)
        )

    def _netstat(self, ports: List[int]) -> Tuple[Listener, ...]:
        """() without an answer: that somebody listens is known already, only the name is
        missing."""
        try:
            answer = self._ask(self._tools.netstat, "-anv", "-p", "tcp")
            return mactext.listening(answer.out, ports)
        except (Unobservable, ValueError):
            return ()

    def _wired_limit(self, total: int) -> int:
        """0, or a macOS too old to know the setting: the default, about three quarters of all
        memory (as read)."""
        answer = self._ask(self._tools.sysctl, "-n", "iogpu.wired_limit_mb")
        return (int(answer.out) * MIB if answer.code == 0 else 0) or total * 3 // 4

    def _services(self, domain: str) -> List[LaunchdJob]:
        answer = self._ask(self._tools.launchctl, "print", domain)
        if answer.code != 0:
            if domain != "system" and any(text in answer.err for text in NO_DOMAIN):
                return []
            raise Unobservable(
                "%s print %s: %s" % (self._tools.launchctl, domain, answer.error_line())
            )
        try:
            return [
                job
                for job in mactext.services(answer.out, domain)
                if not job.label.startswith(IGNORED_LABELS)
            ]
        except ValueError as exc:
            _garbled(self._tools.launchctl, exc)

    def _with_program(self, job: LaunchdJob) -> LaunchdJob:
        """The job with its program; without, when it was removed since it was listed."""
        answer = self._ask(self._tools.launchctl, "print", "%s/%s" % (job.domain, job.label))
        return job._replace(program=mactext.program(answer.out)) if answer.code == 0 else job


def _found_or_none(tool: str, answer: ToolOutput) -> None:
    """lsof and ps exit 1 both for no match and for an error; only an error prints a message."""
    if answer.code > 1 or (answer.code == 1 and answer.err.strip()):
        raise Unobservable("%s: %s" % (tool, answer.error_line()))


def _garbled(tool: str, exc: ValueError) -> NoReturn:
    raise Unobservable("%s: %s" % (tool, exc)) from exc
