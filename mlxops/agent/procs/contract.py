"""What every platform can observe of its processes."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Protocol, Tuple

from .facts import Boot, LaunchdJob, Listener, Memory, Output, Process, Service, Traffic


class Procs(Protocol):
    """Every method raises Unobservable if the answer could not be observed.

    `max_poll_interval_s`: how far intervals between two looks may grow; 0 if a look is cheap."""

    max_poll_interval_s: float

    def processes(self) -> Dict[int, Process]:
        """All processes of the machine, of every user, by pid."""

    def process(self, pid: int) -> Optional[Process]:
        """One process; None if the pid does not exist."""

    def some(self, pids: Iterable[int]) -> Dict[int, Process]:
        """Those of these processes that exist, by pid: less work than all of them."""

    def boot(self) -> Boot:
        """When this machine was started."""

    def variable(self, pid: int, name: str) -> str:
        """A variable of a process's initial environment; "" if it is not set or not visible."""

    def folder(self, pid: int) -> Optional[str]:
        """The working directory of a process; None if it is not visible."""

    def files(self, pid: int) -> Tuple[str, ...]:
        """The paths of a process's open files; () if there are none or they are not visible."""

    def listeners(self, ports: Iterable[int]) -> Tuple[Listener, ...]:
        """Who listens on these TCP ports, on any address of this machine."""

    def connections(self, port: int) -> int:
        """The number of open connections to this TCP port, counted on the server's side."""

    def traffic(self, ports: Iterable[int]) -> Dict[int, Traffic]:
        """The sockets of each of these TCP ports, in one look that names no processes."""

    def free(self, port: int, bind: str) -> bool:
        """Whether a server could bind the port on `bind` (an address or a name) and on each address
        of binding.EVERYWHERE.

        Address families and addresses that this machine lacks are skipped. Unobservable if `bind`
        cannot be resolved, or if binding fails for another reason than «in use»."""

    def held(self, port: int, bind: str, known: Iterable[Listener]) -> Tuple[str, ...]:
        """The addresses, of those that `free` tries, where the port cannot be bound although no
        known listener of that family is there: by a socket that is bound and does not listen, or by
        a connection whose local port it is."""

    def local(self, bind: str) -> bool:
        """Whether an address or a name is one that a server on this machine can bind."""

    def send(self, process: Process, signum: int) -> bool:
        """Signal exactly this process; False if it is gone, a zombie, or its pid was reused."""

    def output(self, pid: int) -> Optional[Output]:
        """Where the standard output of a process goes; None if it is gone or has none."""

    def memory(self) -> Memory:
        """Memory of the whole machine."""

    def footprint(self, processes: Iterable[Process]) -> Optional[int]:
        """Bytes these processes use together; None if it is unknown for all of them."""

    def bytes_read(self, pids: Iterable[int]) -> Optional[int]:
        """Bytes that these processes have read since their start: from files on Linux, from disks
        on macOS. None if that is unknown for one of them."""

    def launchd_jobs(self) -> Tuple[LaunchdJob, ...]:
        """The launchd jobs that are not Apple's; () without launchd."""

    def restarting_service(self, processes: Iterable[Process]) -> Optional[Service]:
        """The service of systemd that would start the first of these again, if its main process is
        one of them; None without systemd."""

    def sync(self, fd: int) -> None:
        """Write a file's content to the disk itself; OSError as for fsync."""

    def reserve(self, fd: int, size: int) -> bool:
        """Allocate `size` bytes behind the end of a file without changing its length.

        OSError if there is no space; False if the file system cannot do it."""

    def lockers(self, path: str) -> Tuple[int, ...]:
        """Pids of other processes that hold an flock on this file; on platforms that do not show
        locks, those that have it open."""
