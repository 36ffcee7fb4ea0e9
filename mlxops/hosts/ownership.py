"""Whether another user could change a file: owner and mode of the file and of each folder and link
in its path.

A host file names programs to run, so it is trusted only if no one but the user and root can write
it."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path

from ..agent.errors import Usage

MAX_LINKS = 40


def require_own(path: Path) -> None:
    """Usage if another user could change the file, with the path at fault and the command that
    fixes it.

    OSError if the file or a folder in its path cannot be examined."""
    weakness = _weakness(path)
    if weakness:
        where, why, remedy = weakness
        place = f"{where} " if where != str(path) else "it "
        raise Usage(f"{path} is not used: {place}{why}", remedy, file=str(path), path=where)


def _weakness(path: Path) -> tuple[str, str, str] | None:
    """The first part of the path that others could change: path, reason and the command that fixes
    it."""
    at = "/"
    parts = _parts(os.path.join(os.getcwd() if not path.is_absolute() else "/", path))
    fault = _fault(at, os.lstat(at), holds_the_file=len(parts) <= 1)
    links = 0
    while parts and not fault:
        name = parts.pop()
        if name == "..":
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, name)
        status = os.lstat(here)
        if not stat.S_ISLNK(status.st_mode):
            at, fault = here, _fault(here, status, holds_the_file=len(parts) == 1)
            continue
        links += 1
        if links > MAX_LINKS:
            return here, "is a circular link", f"ls -l {shlex.quote(here)}"
        fault = _foreign_owner(here, status)
        target = os.readlink(here)
        at = "/" if target.startswith("/") else at
        parts += _parts(target)
    return fault


def _parts(path: str) -> list[str]:
    """The names in the path, the first one last. `..` is kept, since it follows links."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _fault(path: str, status: os.stat_result, holds_the_file: bool) -> tuple[str, str, str] | None:
    """Why others could change this path: reason and remedy. A sticky folder is fine unless it holds
    the file itself: others may add files there, but not replace existing ones."""
    folder = stat.S_ISDIR(status.st_mode)
    if not folder and not stat.S_ISREG(status.st_mode):
        return path, "is not a regular file", f"ls -l {shlex.quote(path)}"
    open_to_all = status.st_mode & 0o022 and not (
        folder and status.st_mode & stat.S_ISVTX and not holds_the_file
    )
    if open_to_all:
        who = "everyone" if status.st_mode & 0o002 else "its group"
        return (
            path,
            f"is writable by {who} (mode {status.st_mode & 0o7777:o})",
            f"chmod go-w {shlex.quote(path)}",
        )
    return _foreign_owner(path, status)


def _foreign_owner(path: str, status: os.stat_result) -> tuple[str, str, str] | None:
    me = os.geteuid()
    if status.st_uid in (0, me):
        return None
    change = f"chown {'-h ' if stat.S_ISLNK(status.st_mode) else ''}{_name(me)} {shlex.quote(path)}"
    remedy = (
        f"sudo {change}"
        if me
        else f"run mlxops as {_name(status.st_uid)} (without sudo), or: {change}"
    )
    return path, f"belongs to {_name(status.st_uid)}", remedy


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
