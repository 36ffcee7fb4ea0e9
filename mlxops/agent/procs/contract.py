"""What every platform answers about its processes."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Protocol, Tuple

from .facts import LaunchdJob, Listener, Memory, Output, Process


class Procs(Protocol):
    """Every method raises Unobservable when the answer could not be observed.

    `longest_pause_s`: how far the pauses between two looks may grow while something is waited for;
    0 where a look costs next to nothing."""

    max_poll_interval_s: float

    def processes(self) -> Dict[int, Process]:
        """All processes of the machine, of every user, by pid."""

    def process(self, pid: int) -> Optional[Process]:
        """One process; None when there is none of that pid."""

    def variable(self, pid: int, name: str) -> str:
        """A variable of the environment that a process was started with; "" where it has none or
        cannot be seen."""

    def folder(self, pid: int) -> Optional[str]:
        """The current folder of a process; None when it cannot be told."""

    def files(self, pid: int) -> Tuple[str, ...]:
        """The paths of the files that a process has open; () where that cannot be told, or it has
        none."""

    def listeners(self, ports: Iterable[int]) -> Tuple[Listener, ...]:
        """Who listens on these TCP ports, on any address of this machine."""

    def connections(self, port: int) -> int:
        """How many connections to this TCP port are open, on the server's side of them."""

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
        """Signal this very process; False when it is gone, a zombie, or its pid now names
        another."""

    def output(self, pid: int) -> Optional[Output]:
        """Where the standard output of this process goes; None when it is gone or has none."""

    def memory(self) -> Memory:
        """Memory of the whole machine."""

    def footprint(self, processes: Iterable[Process]) -> Optional[int]:
        """Bytes these processes hold together; None when it is known of none of them."""

    def launchd_jobs(self) -> Tuple[LaunchdJob, ...]:
        """The launchd jobs that are not Apple's own; () where there is no launchd."""

    def sync(self, fd: int) -> None:
        """Have a file's content on the disk itself before returning; OSError as fsync."""

    def reserve(self, fd: int, size: int) -> bool:
        """Allocate `size` bytes behind the end of a file, whose length stays: later writes there
        need no room.

        OSError where there is no room; False where the file system cannot do it."""

    def lockers(self, path: str) -> Tuple[int, ...]:
        """Pids of the other processes that hold an flock on this file, shared or not; where the
        platform does not tell locks, of those that have it open."""
