"""Linux, from /proc. Needs no child process and no modules beyond os and time."""

from __future__ import annotations

import os
import time
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from ..errors import Unobservable
from . import binding, blocks, proctext, signals, systemd
from .facts import Boot, LaunchdJob, Listener, Memory, Output, Process, Service, Traffic

CHUNK = 65536


class Linux(binding.Ports):
    max_poll_interval_s = 0.0

    def __init__(self, proc: str = "/proc", systemctl: str = "systemctl") -> None:
        self._proc = proc
        self._systemctl = systemctl
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._tick = os.sysconf("SC_CLK_TCK")
        # Both the ticks in /proc/PID/stat and this clock count from boot, suspension included.
        self._boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._boot_id: Optional[str] = None

    def processes(self) -> Dict[int, Process]:
        table = {}
        for pid in self._pids():
            process = self._read(pid)
            if process is not None:
                table[pid] = process
        if 1 not in table:
            raise Unobservable("%s hides the processes of other users (hidepid)" % self._proc)
        return table

    def process(self, pid: int) -> Optional[Process]:
        found = self._read(pid)
        if found is None and signals.exists(pid):
            found = self._read(pid)
            if found is None and signals.exists(pid):
                raise Unobservable("process %d exists but %s does not show it" % (pid, self._proc))
        return found

    def some(self, pids: Iterable[int]) -> Dict[int, Process]:
        found = ((pid, self._read(pid)) for pid in pids)
        return {pid: process for pid, process in found if process is not None}

    def boot(self) -> Boot:
        return Boot(self._boot, self._boot_token() + "-")

    def variable(self, pid: int, name: str) -> str:
        try:
            words = self._text("%d/environ" % pid).split(b"\0")
        except Unobservable:
            return ""
        begins = name.encode() + b"="
        return next((os.fsdecode(w[len(begins) :]) for w in words if w.startswith(begins)), "")

    def folder(self, pid: int) -> Optional[str]:
        try:
            return os.readlink("/proc/%d/cwd" % pid)
        except OSError:
            return None

    def files(self, pid: int) -> Tuple[str, ...]:
        return tuple(sorted(path for path in self._open_files(pid) if path.startswith("/")))

    def listeners(self, ports: Iterable[int]) -> Tuple[Listener, ...]:
        sockets = self._sockets(frozenset(ports))
        owners = self._owners({socket.inode for socket in sockets})
        if any(socket.inode not in owners for socket in sockets):
            # Either it closed while we looked for its owner, or the owner is hidden: a second look
            # tells.
            sockets = self._sockets(frozenset(ports))
            owners = self._owners({socket.inode for socket in sockets})
        return tuple(
            Listener(socket.port, socket.address, pid, socket.uid)
            for socket in sockets
            for pid in owners.get(socket.inode, [None])
        )

    def connections(self, port: int) -> int:
        return sum(proctext.connected(text, port) for text in self._tcp())

    def traffic(self, ports: Iterable[int]) -> Dict[int, Traffic]:
        try:
            return proctext.traffic(self._tcp(), frozenset(ports))
        except ValueError as exc:
            raise Unobservable("%s/net/tcp: %s" % (self._proc, exc)) from exc

    def send(self, process: Process, signum: int) -> bool:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        except (AttributeError, OSError):
            return self._kill(process, signum)
        try:
            return self._signal(handle, process, signum)
        finally:
            os.close(handle)

    def output(self, pid: int) -> Optional[Output]:
        path = "%s/%d/fd/1" % (self._proc, pid)
        try:
            return Output(os.readlink(path), path)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as exc:
            raise Unobservable(
                "cannot see the output of process %d: %s" % (pid, exc.strerror)
            ) from exc

    def memory(self) -> Memory:
        text = self._text("meminfo")
        try:
            return Memory(
                proctext.kilobytes(text, b"MemTotal"),
                proctext.kilobytes(text, b"MemAvailable"),
                None,
            )
        except ValueError as exc:
            raise Unobservable("%s/meminfo: %s" % (self._proc, exc)) from exc

    def footprint(self, processes: Iterable[Process]) -> Optional[int]:
        sizes = [process.rss_bytes for process in processes if process.rss_bytes is not None]
        return sum(sizes) if sizes else None

    def bytes_read(self, pids: Iterable[int]) -> Optional[int]:
        try:
            return sum(proctext.bytes_read(self._text("%d/io" % pid)) for pid in pids)
        except (Unobservable, ValueError):
            return None

    def launchd_jobs(self) -> Tuple[LaunchdJob, ...]:
        return ()

    def restarting_service(self, processes: Iterable[Process]) -> Optional[Service]:
        pids = [process.pid for process in processes]
        service = systemd.service_of(os.fsdecode(self._text("%d/cgroup" % pids[0])))
        if service is None or not systemd.restarts(service, pids, self._systemctl):
            return None
        return service

    def sync(self, fd: int) -> None:
        os.fsync(fd)

    def reserve(self, fd: int, size: int) -> bool:
        return blocks.fallocate(fd, size)

    def lockers(self, path: str) -> Tuple[int, ...]:
        try:
            status = os.stat(path)
            return proctext.lockers(self._text("locks"), status.st_dev, status.st_ino)
        except (OSError, ValueError) as exc:
            raise Unobservable("cannot see who locks %s: %s" % (path, exc)) from exc

    def _pids(self) -> Iterator[int]:
        try:
            names = os.listdir(self._proc)
        except OSError as exc:
            raise Unobservable("%s: %s" % (self._proc, exc.strerror)) from exc
        return (int(name) for name in names if name.isdigit())

    def _read(self, pid: int) -> Optional[Process]:
        """The process; None when /proc has no such pid."""
        try:
            return self._open(pid)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as exc:
            raise Unobservable("process %d: %s" % (pid, exc.strerror)) from exc
        except ValueError as exc:
            raise Unobservable("process %d: %s" % (pid, exc)) from exc

    def _open(self, pid: int) -> Process:
        # Held open, the folder stays this process's: a reused pid cannot mix two of them.
        folder = os.open("%s/%d" % (self._proc, pid), os.O_RDONLY | os.O_DIRECTORY)
        try:
            return self._build(
                pid, os.fstat(folder).st_uid, _content("stat", folder), _content("cmdline", folder)
            )
        finally:
            os.close(folder)

    def _build(self, pid: int, uid: int, stat: bytes, cmdline: bytes) -> Process:
        fields = proctext.stat(stat)
        return Process(
            pid=pid,
            ppid=fields.ppid,
            pgid=fields.pgid,
            uid=uid,
            start_time="%s-%d" % (self._boot_token(), fields.start_ticks),
            started_at=self._boot + fields.start_ticks / self._tick,
            rss_bytes=fields.rss_pages * self._page,
            argv=proctext.argv(cmdline),
            zombie=fields.dead,
            stopped=fields.stopped,
        )

    def _boot_token(self) -> str:
        """Eight hex digits that change at every boot, since ticks from boot repeat."""
        if self._boot_id is None:
            self._boot_id = self._text("sys/kernel/random/boot_id")[:8].decode("ascii")
        return self._boot_id

    def _text(self, path: str) -> bytes:
        try:
            return _content("%s/%s" % (self._proc, path), None)
        except OSError as exc:
            raise Unobservable("%s/%s: %s" % (self._proc, path, exc.strerror)) from exc

    def _sockets(self, ports: Iterable[int]) -> List[proctext.Socket]:
        numbers = frozenset(ports)
        try:
            return [socket for text in self._tcp() for socket in proctext.listening(text, numbers)]
        except ValueError as exc:
            raise Unobservable("%s/net/tcp: %s" % (self._proc, exc)) from exc

    def _tcp(self) -> List[bytes]:
        names = ["net/tcp", *(["net/tcp6"] if os.path.exists(self._proc + "/net/tcp6") else [])]
        return [self._text(name) for name in names]

    def _owners(self, inodes: Set[int]) -> Mapping[int, List[Optional[int]]]:
        """inode -> the pids that hold it, as far as this user may look."""
        owners: Dict[int, List[Optional[int]]] = {}
        links = {"socket:[%d]" % inode: inode for inode in inodes}
        for pid in sorted(self._pids()) if links else ():
            for link in links.keys() & self._open_files(pid):
                owners.setdefault(links[link], []).append(pid)
        return owners

    def _open_files(self, pid: int) -> Set[str]:
        """The targets of a process's descriptors; empty if it has ended or belongs to another
        user."""
        folder = "%s/%d/fd" % (self._proc, pid)
        found = set()
        try:
            for name in os.listdir(folder):
                found.add(_link("%s/%s" % (folder, name)))
        except OSError:
            pass
        return found

    def _signal(self, handle: int, process: Process, signum: int) -> bool:
        """Signal through a pidfd, which can only reach the process it was opened for."""
        import signal

        if not self._same(process):
            return False
        try:
            signal.pidfd_send_signal(handle, signum)
        except ProcessLookupError:
            return False
        except PermissionError as exc:
            raise signals.not_permitted(process.pid, exc) from exc
        return True

    def _kill(self, process: Process, signum: int) -> bool:
        """For kernels or Pythons without pidfd."""
        if not self._same(process):
            return False
        return signals.kill(process.pid, signum)

    def _same(self, process: Process) -> bool:
        now = self.process(process.pid)
        return now is not None and not now.zombie and now.start_time == process.start_time


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _content(path: str, folder: Optional[int]) -> bytes:
    """A whole file of /proc. It has no size to ask for and comes a page at a time: only an empty
    read is its end."""
    fd = os.open(path, os.O_RDONLY, dir_fd=folder)
    try:
        parts = [os.read(fd, CHUNK)]
        while parts[-1]:
            parts.append(os.read(fd, CHUNK))
        return b"".join(parts)
    finally:
        os.close(fd)
