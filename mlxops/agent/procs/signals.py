"""The only module that calls kill(2)."""

from __future__ import annotations

import contextlib
import os

from ..errors import Unobservable


def kill(pid: int, signum: int) -> bool:
    """False if the process does not exist; Unobservable if it may not be signalled."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    except PermissionError as exc:
        raise not_permitted(pid, exc) from exc
    return True


def end_session(pid: int) -> None:
    """Kill a child that leads a session, with all its processes; no error if it is gone."""
    import signal

    with contextlib.suppress(OSError):  # on macOS EPERM, where only zombies are left of it
        os.killpg(pid, signal.SIGKILL)


def exists(pid: int) -> bool:
    """Whether the kernel knows the pid, zombies and processes of other users included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def not_permitted(pid: int, exc: OSError) -> Unobservable:
    return Unobservable("not allowed to signal process %d: %s" % (pid, exc.strerror))
