"""Whatever was raised, as an error with a name: a broken link says less than the worst of these."""

from __future__ import annotations

import errno
import os
import shlex
from typing import Any, Optional

from .errors import EvidenceUnknown, Failed, MlxopsError, NotEnoughDisk, NotEnoughMemory
from .procs.facts import Unseen

# No blocks or inodes left, a quota used up, a limit on the size of files.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_USED_UP = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def as_error(exc: Exception) -> MlxopsError:
    """A failure of ours as it is, one of the machine in words, a defect with its place."""
    if isinstance(exc, MlxopsError):
        return exc
    if isinstance(exc, Unseen):
        return EvidenceUnknown("could not look: %s" % exc.reason, "mlxops status")
    if isinstance(exc, MemoryError) or "can't start new thread" in str(exc) or _errno(exc) in _USED_UP:
        return _used_up(exc)
    if isinstance(exc, OSError) and exc.errno in NO_ROOM and exc.filename:
        return unwritten(exc, str(exc.filename))
    if isinstance(exc, OSError):
        return Failed("%s: %s" % (exc.filename or "the host", exc.strerror or exc), "look at it on the host")
    return _defect(exc)


def _errno(exc: Exception) -> object:
    return exc.errno if isinstance(exc, OSError) else None


def _used_up(exc: Exception) -> MlxopsError:
    """A limit of the host or of the login was met: no defect, and nothing that trying harder would change."""
    if isinstance(exc, MemoryError) or _errno(exc) == errno.ENOMEM:
        return NotEnoughMemory("the agent got no memory from the host", "mlxops status, then mlxops unload PORT")
    if _errno(exc) in (errno.EMFILE, errno.ENFILE):
        text, step = "the agent cannot open another file", "see what has so many open (lsof), or raise ulimit -n"
    else:
        text, step = "the host has no room for another thread or process", "end some processes, or raise ulimit -u"
    return Failed(text, "on the host: %s; then run the command again" % step, limit=str(exc))


def unwritten(exc: OSError, path: str, note: str = "", **fields: Any) -> MlxopsError:
    """The error for a file that cannot be written: why, and what to do about it on the host."""
    folder = os.path.dirname(path) or "."
    text = "cannot write %s: %s%s" % (path, exc.strerror or exc, _left(folder) if exc.errno == errno.ENOSPC else "")
    kind = NotEnoughDisk if exc.errno in NO_ROOM else Failed
    return kind(text + note, _remedy(exc.errno, shlex.quote(folder)), path=path, **fields)


def free_bytes(folder: str) -> Optional[int]:
    """What is left for us on its disk; None where that cannot be told."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _left(folder: str) -> str:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    inodes = ", %d inodes" % disk.f_favail if disk.f_files else ""
    return " (free at %s: %d bytes%s)" % (folder, disk.f_bavail * disk.f_frsize, inodes)


def _remedy(number: object, folder: str) -> str:
    steps = {
        errno.ENOSPC: "make room on the disk of {0} (df -h {0}; df -i {0})",
        errno.EDQUOT: "remove files on the disk of {0}, or have the quota raised (quota -s)",
        errno.EFBIG: "raise the login's limit on the size of files (ulimit -f)",
        errno.EROFS: "mount the disk of {0} for writing",
    }
    step = steps.get(number) if isinstance(number, int) else None
    step = step or "check owner and mode of {0} (ls -ld {0})"
    return "on the host: %s; then run the command again" % step.format(folder)


def _defect(exc: Exception) -> MlxopsError:
    import traceback

    place = traceback.extract_tb(exc.__traceback__)[-1]
    text = "%s: %s (%s:%d)" % (type(exc).__name__, exc, os.path.basename(place.filename), place.lineno or 0)
    trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    return Failed("a defect in mlxops: " + text, "run it with --debug and report what it prints", trace=trace)
