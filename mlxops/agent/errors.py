"""The error types and their exit codes. Shared by client and agent."""

from __future__ import annotations

import errno
import os
import shlex
from typing import Any, Dict, Optional, Type


class MlxopsError(Exception):
    """A failure with fields for programs and a hint for people.

    The JSON of an error holds `kind` (the class name), `message`, `hint` and the fields.
    `exit_code`: the exit status of a command that ends with it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", /, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    @property
    def kind(self) -> str:
        return type(self).__name__

    def to_wire(self) -> Dict[str, Any]:
        return {**self.fields, "kind": self.kind, "message": self.message, "hint": self.hint}


def mlxops_command(*words: object) -> str:
    """A mlxops command line for a hint. Quoted: names may come from a hand-written registry."""
    import shlex

    return " ".join(["mlxops", *(shlex.quote(str(word)) for word in words)])


class Failed(MlxopsError):
    """The work failed, or some of several items failed."""


class EvidenceUnknown(MlxopsError):
    """Something needed for a safe decision could not be observed, so nothing was changed."""


class NotStopped(MlxopsError):
    """A server got a signal to stop and is not proven gone."""


class Usage(MlxopsError):
    exit_code = 2


class HostUnreachable(MlxopsError):
    exit_code = 3


class LinkLost(MlxopsError):
    exit_code = 3


class HostKeyRefused(MlxopsError):
    exit_code = 4


class LoginRefused(MlxopsError):
    exit_code = 4


class RegistryInvalid(MlxopsError):
    exit_code = 5


class Locked(MlxopsError):
    exit_code = 6


class PortBusy(MlxopsError):
    exit_code = 7


class ForeignListener(MlxopsError):
    exit_code = 7


class AssignmentConflict(MlxopsError):
    exit_code = 7


class Respawned(MlxopsError):
    """Another program restarts a server that was stopped, or would."""

    exit_code = 7


class NotReady(MlxopsError):
    exit_code = 8


class ModelUnknown(MlxopsError):
    exit_code = 9


class ModelAmbiguous(MlxopsError):
    exit_code = 9


class ModelGated(MlxopsError):
    exit_code = 9


class NotDownloadable(MlxopsError):
    exit_code = 9


class ModelMissing(MlxopsError):
    """The model's files are missing or incomplete, and no download was requested."""

    exit_code = 9


class NeedsConsent(MlxopsError):
    """The download is so large that the client asks for confirmation first. Nothing was changed."""

    exit_code = 9


class NotEnoughMemory(MlxopsError):
    exit_code = 10


class NotEnoughDisk(MlxopsError):
    exit_code = 10


class DriftFound(MlxopsError):
    exit_code = 11


class Interrupted(MlxopsError):
    exit_code = 130


def _kinds(root: Type[MlxopsError]) -> Dict[str, Type[MlxopsError]]:
    return {cls.__name__: cls for cls in root.__subclasses__()}


def from_wire(record: Dict[str, Any]) -> MlxopsError:
    """The error of a record. An unknown kind becomes Failed, with the same text."""
    fields = {k: v for k, v in record.items() if k not in ("kind", "message", "hint")}
    cls = _kinds(MlxopsError).get(str(record.get("kind")), Failed)
    return cls(str(record.get("message", "")), str(record.get("hint") or ""), **fields)


class Unobservable(Exception):
    """A fact could not be observed. Raised instead of an empty answer, which would mean "nothing
    there"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# No blocks or inodes left, quota exceeded, file size limit reached.
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_USED_UP = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def to_mlxops_error(exc: Exception) -> MlxopsError:
    """Convert any exception: a MlxopsError as it is, a system error in words, an internal error
    with its location."""
    if isinstance(exc, MlxopsError):
        return exc
    if isinstance(exc, Unobservable):
        return EvidenceUnknown("cannot observe the host: %s" % exc.reason, "mlxops status")
    if _is_used_up(exc):
        return _used_up(exc)
    if isinstance(exc, OSError) and exc.errno in DISK_FULL_ERRNOS and exc.filename:
        return write_error(exc, str(exc.filename))
    if isinstance(exc, OSError):
        return Failed(
            "%s: %s" % (exc.filename or "the host", exc.strerror or exc), "check it on the host"
        )
    return _defect(exc)


def is_resource_shortage(exc: BaseException) -> bool:
    """Whether the error, or one of its causes, is a lack of processes, file descriptors or
    memory."""
    cause: Optional[BaseException] = exc
    while cause is not None and not _is_used_up(cause):
        cause = cause.__cause__
    return cause is not None


def _is_used_up(exc: BaseException) -> bool:
    return (
        isinstance(exc, MemoryError)
        or "can't start new thread" in str(exc)
        or _errno(exc) in _USED_UP
    )


def _errno(exc: BaseException) -> object:
    return exc.errno if isinstance(exc, OSError) else None


def _used_up(exc: Exception) -> MlxopsError:
    """A limit of the host or of the login was reached; a retry would not help."""
    if isinstance(exc, MemoryError) or _errno(exc) == errno.ENOMEM:
        return NotEnoughMemory(
            "the host has no memory left for the agent", "mlxops status, then mlxops unload PORT"
        )
    if _errno(exc) in (errno.EMFILE, errno.ENFILE):
        text, step = (
            "the agent cannot open any more files",
            "find out which process has too many open (lsof), or raise ulimit -n",
        )
    else:
        text, step = (
            "the host cannot start another thread or process",
            "end some processes, or raise ulimit -u",
        )
    return Failed(text, "on the host: %s; then run the command again" % step, limit=str(exc))


def write_error(exc: OSError, path: str, note: str = "", **fields: Any) -> MlxopsError:
    """The error for a file that cannot be written: why, and the fix on the host."""
    folder = os.path.dirname(path) or "."
    text = "cannot write %s: %s%s" % (
        path,
        exc.strerror or exc,
        _left(folder) if exc.errno == errno.ENOSPC else "",
    )
    kind = NotEnoughDisk if exc.errno in DISK_FULL_ERRNOS else Failed
    return kind(text + note, _remedy(exc.errno, shlex.quote(folder)), path=path, **fields)


def free_bytes(folder: str) -> Optional[int]:
    """Free bytes for this user on the folder's disk; None if unknown."""
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
        errno.ENOSPC: "free some space on the disk of {0} (df -h {0}; df -i {0})",
        errno.EDQUOT: "remove files on the disk of {0}, or raise the quota (quota -s)",
        errno.EFBIG: "raise the login's file size limit (ulimit -f)",
        errno.EROFS: "mount the disk of {0} for writing",
    }
    step = steps.get(number) if isinstance(number, int) else None
    step = step or "check the owner and mode of {0} (ls -ld {0})"
    return "on the host: %s; then run the command again" % step.format(folder)


def _defect(exc: Exception) -> MlxopsError:
    import traceback

    place = traceback.extract_tb(exc.__traceback__)[-1]
    text = "%s: %s (%s:%d)" % (
        type(exc).__name__,
        exc,
        os.path.basename(place.filename),
        place.lineno or 0,
    )
    trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    return Failed(
        "internal error: " + text, "run it with --debug and report the output", trace=trace
    )
