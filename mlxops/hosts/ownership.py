"""Who else could change a file: its owner and mode, and those of every folder and link on the way
to it.

A host file names programs that run, so it is trusted only where nobody but the user and root can
write it."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path

from ..agent.errors import Usage

MAX_LINKS = 40


def require_own(path: Path) -> None:
    """Usage, naming the path at fault and the command that corrects it, where another user could
    change the file.

    OSError where the file or a folder on the way cannot be looked at."""
    found = _weakness(path)
    if found:
        where, why, remedy = found
        place = f"{where} " if where != str(path) else "it "
        raise Usage(f"{path} is not used: {place}{why}", remedy, file=str(path), path=where)


def _weakness(path: Path) -> tuple[str, str, str] | None:
    """The first thing on the way to the file that others could change: where, why, and the command
    that helps."""
    at = "/"
    left = _parts(os.path.join(os.getcwd() if not path.is_absolute() else "/", path))
    found = _fault(at, os.lstat(at), holds_the_file=len(left) <= 1)
    links = 0
    while left and not found:
        name = left.pop()
        if name == "..":
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, name)
        seen = os.lstat(here)
        if not stat.S_ISLNK(seen.st_mode):
            at, found = here, _fault(here, seen, holds_the_file=len(left) == 1)
            continue
        links += 1
        if links > MAX_LINKS:
            return here, "is a link in a circle", f"ls -l {shlex.quote(here)}"
        found = _stranger(here, seen)
        target = os.readlink(here)
        at = "/" if target.startswith("/") else at
        left += _parts(target)
    return found


def _parts(path: str) -> list[str]:
    """The names on the way, the first one last; a name of `..` is kept, since it follows links."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _fault(path: str, seen: os.stat_result, holds_the_file: bool) -> tuple[str, str, str] | None:
    """In a sticky folder others may add files, not replace ours: that does above the folder of the
    file."""
    folder = stat.S_ISDIR(seen.st_mode)
    if not folder and not stat.S_ISREG(seen.st_mode):
        return path, "is not a regular file", f"ls -l {shlex.quote(path)}"
    open_to_all = seen.st_mode & 0o022 and not (
        folder and seen.st_mode & stat.S_ISVTX and not holds_the_file
    )
    if open_to_all:
        who = "everybody" if seen.st_mode & 0o002 else "its group"
        return (
            path,
            f"can be written by {who} (mode {seen.st_mode & 0o7777:o})",
            f"chmod go-w {shlex.quote(path)}",
        )
    return _stranger(path, seen)


def _stranger(path: str, seen: os.stat_result) -> tuple[str, str, str] | None:
    me = os.geteuid()
    if seen.st_uid in (0, me):
        return None
    change = f"chown {'-h ' if stat.S_ISLNK(seen.st_mode) else ''}{_name(me)} {shlex.quote(path)}"
    remedy = (
        f"sudo {change}"
        if me
        else f"run mlxops as {_name(seen.st_uid)} (without sudo), or: {change}"
    )
    return path, f"belongs to {_name(seen.st_uid)}", remedy


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
