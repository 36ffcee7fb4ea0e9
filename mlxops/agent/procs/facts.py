"""What can be observed of a machine's processes, ports, memory and launchd jobs: values only.

NamedTuple and not dataclass: importing dataclasses would cost every command 8 ms.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple


class Process(NamedTuple):
    """One process. With its pid, `start_time` names it: an opaque token, to be compared for
    equality only.

    `started_at` is in epoch seconds, good for an uptime and nothing else. `uid` is the effective
    one. `argv` is exact on Linux, and on macOS for one's own processes; else it is the command line
    split on blanks. It is () for a zombie. `stopped`: by SIGSTOP or a debugger; it takes no other
    signal before it continues."""

    pid: int
    ppid: int
    pgid: int
    uid: int
    start_time: str
    started_at: Optional[float]
    rss_bytes: Optional[int]
    argv: Tuple[str, ...]
    zombie: bool
    stopped: bool = False


class Boot(NamedTuple):
    """The start of this machine. `at`: in epoch seconds. `token`: the beginning of every
    `start_time` since then; "" on platforms whose start times have none."""

    at: float
    token: str

    def is_before(self, start_time: object, launched_at: Optional[float]) -> Optional[bool]:
        """Whether a process ran before this boot, by its start time, else by the moment of its
        launch; None if neither shows it."""
        if self.token:
            form = isinstance(start_time, str) and "-" in start_time
            return not str(start_time).startswith(self.token) if form else None
        return None if launched_at is None else launched_at < self.at


class Listener(NamedTuple):
    """A process that holds a listening TCP socket; one socket held by two processes is two of
    these.

    `pid` None: the socket is there, its owner cannot be seen from here. `address` is numeric,
    without brackets."""

    port: int
    address: str
    pid: Optional[int]
    uid: Optional[int]


class Traffic(NamedTuple):
    """The sockets of a TCP port at one moment. `listening`: opaque, equal for the same listeners.
    `waiting`: connections that the server has not accepted yet; None where that is not shown."""

    listening: Tuple[str, ...] = ()
    established: int = 0
    waiting: Optional[int] = None


class Output(NamedTuple):
    """Where the standard output of a process goes: its `name`, and the path under which it can be
    opened now.

    They differ if the file was deleted, or is not a file."""

    name: str
    path: str


class Memory(NamedTuple):
    """`wired_limit_bytes`: what the GPU may wire; None where there is no such limit."""

    total_bytes: int
    available_bytes: int
    wired_limit_bytes: Optional[int]


class LaunchdJob(NamedTuple):
    """A launchd job. `domain` is `system`, `gui/UID` or `user/UID`; `program` is the argv it runs,
    () if not told."""

    label: str
    domain: str
    pid: Optional[int]
    program: Tuple[str, ...]


class Service(NamedTuple):
    """A service of systemd. `uid`: the user whose manager runs it; None for the system's."""

    unit: str
    uid: Optional[int]

    @property
    def stop_command(self) -> str:
        return "systemctl %sstop %s" % ("" if self.uid is None else "--user ", self.unit)
