"""What each fault does at its step. Runs inside the agent's process: standard library only, Python
3.9."""

from __future__ import annotations

import builtins
import errno
import os
import signal
import stat
import time
from collections.abc import Callable
from typing import Any

# Added to the error, whichever way it is reported.
PLANTED = "planted by the saboteur"
FILLING = (
    "open",
    "write",
    "os.write",
    "os.pwrite",
    "os.fsync",
    "os.truncate",
    "os.mkdir",
    "os.rename",
)
CHANGING = (
    *FILLING,
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.utime",
)
MAKING = ("open", "os.mkdir", "os.link", "os.symlink")
# fault -> the error of the disk from its step on, and the steps that get it
LASTING = {
    "full": ("ENOSPC", FILLING),
    "noinodes": ("ENOSPC", MAKING),
    "quota": ("EDQUOT", FILLING),
    "toolarge": ("EFBIG", ("write", "os.write")),
    "readonly": ("EROFS", CHANGING),
}
MACHINE = ("/dev/", "/proc/", "/sys/")

os_kill = os.kill


def strike(fault: str, about: Any, torn: Callable[[], Any] | None) -> None:
    """A fault that ends with its step."""
    if fault in ("kill", "torn"):
        _die(torn if fault == "torn" else None)
    if fault.startswith("clock"):
        return turn_clock(float(fault[len("clock") :]))
    if hasattr(errno, fault):
        raise _refusal(fault, about)
    raise getattr(builtins, fault)(PLANTED)


def endure(fault: str, event: str, about: Any) -> None:
    """A fault that lasts: what it does to this step."""
    name, events = LASTING[fault]
    if event in events and _on_disk(about) and not (fault == "noinodes" and _exists(about)):
        raise _refusal(name, about)


def _exists(about: Any) -> bool:
    return isinstance(about, int) or os.path.lexists(about)


def turn_clock(seconds: float) -> None:
    """Set the wall clock; the monotonic clock continues. The kernel's time stamps on files stay
    correct."""
    clock, nanoseconds, utc, local = time.time, time.time_ns, time.gmtime, time.localtime
    vars(time).update(
        time=lambda: clock() + seconds,
        time_ns=lambda: nanoseconds() + int(seconds * 1e9),
        gmtime=lambda at=None: utc(time.time() if at is None else at),
        localtime=lambda at=None: local(time.time() if at is None else at),
    )


def _die(torn: Callable[[], Any] | None) -> None:
    if torn is not None:
        torn()
    os_kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _refusal(name: str, about: Any) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), None if isinstance(about, int) else str(about))


def _on_disk(about: Any) -> bool:
    """Whether it is on a disk; pipes and devices do not fill up."""
    if isinstance(about, int):
        mode = os.fstat(about).st_mode
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return not str(about).startswith(MACHINE)
