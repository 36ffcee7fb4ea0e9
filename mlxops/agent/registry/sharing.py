"""Who may use what lies beside the registry: its owner, and its group where the group may write the
registry.

The login's umask has no say in it. A registry that is not there yet is the group's where its folder
is: setgid, and writable for the group."""

from __future__ import annotations

import os
import stat
from typing import Optional

GROUP_WRITES = stat.S_IWGRP


def file_mode(registry: str) -> int:
    """The mode of the registry and its copies: its own, or the one that it is made with."""
    try:
        return stat.S_IMODE(os.stat(registry).st_mode)
    except OSError:
        return 0o664 if _folder_shared(os.path.dirname(registry)) else 0o644


def _folder_shared(folder: str) -> bool:
    try:
        mode = os.stat(folder).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISGID and mode & GROUP_WRITES)


def others_write(registry: str) -> bool:
    """Whether another account may change the registry, or put another file into its place. root
    may, always."""
    path = os.path.realpath(registry)
    try:
        if _written_by_others(os.stat(path)):
            return True
        while os.path.dirname(path) != path:
            path = os.path.dirname(path)
            seen = os.stat(path)
            # In a sticky folder only the owner of a file replaces it.
            if _written_by_others(seen) and not (
                seen.st_mode & stat.S_ISVTX and seen.st_uid in (0, os.geteuid())
            ):
                return True
    except OSError:
        return True
    return False


def _written_by_others(seen: os.stat_result) -> bool:
    return seen.st_uid not in (0, os.geteuid()) or bool(
        seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def lock_mode(registry: Optional[str]) -> int:
    """Whoever may open a lock may hold it, and so keep all others waiting."""
    return 0o660 if registry and file_mode(registry) & GROUP_WRITES else 0o600


def set_lock_mode(fd: int, registry: Optional[str]) -> None:
    """Give a lock file its mode and group. One that we do not own stays as it is, and one with a
    second name too: that may lead out of the folder. `registry` None: a lock that lies
    elsewhere."""
    if registry is not None:
        set_mode_and_group(fd, registry, lock_mode(registry))


def set_mode_and_group(fd: int, registry: str, mode: int) -> None:
    """Give an open file beside the registry this mode, and the registry's group where that can
    be."""
    seen = os.fstat(fd)
    if os.geteuid() not in (0, seen.st_uid) or seen.st_nlink != 1:
        return
    group = _group(registry)
    if group is not None and group != seen.st_gid and mode & 0o070:
        try:
            os.fchown(fd, -1, group)
        except OSError:
            mode &= ~0o070  # another group than the registry's is nobody's to let in
    if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
        os.fchmod(fd, mode)


def _group(registry: str) -> Optional[int]:
    try:
        return os.stat(registry).st_gid
    except OSError:
        return None
