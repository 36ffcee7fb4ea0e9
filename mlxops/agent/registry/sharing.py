"""Modes and groups of the files beside the registry: for its owner, and for its group if the group
may write the registry.

The umask is ignored. A new registry belongs to the group if its folder does: setgid and
group-writable."""

from __future__ import annotations

import os
import stat
from typing import Optional

GROUP_WRITES = stat.S_IWGRP


def file_mode(registry: str) -> int:
    """The mode of the registry and its copies: the current one, or that of a new registry."""
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
    """Whether another account, other than root, can change the registry or replace its file."""
    path = os.path.realpath(registry)
    try:
        if _written_by_others(os.stat(path)):
            return True
        while os.path.dirname(path) != path:
            path = os.path.dirname(path)
            status = os.stat(path)
            # In a sticky folder only the owner of a file can replace it.
            if _written_by_others(status) and not (
                status.st_mode & stat.S_ISVTX and status.st_uid in (0, os.geteuid())
            ):
                return True
    except OSError:
        return True
    return False


def _written_by_others(status: os.stat_result) -> bool:
    return status.st_uid not in (0, os.geteuid()) or bool(
        status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def lock_mode(registry: Optional[str]) -> int:
    """The mode of a lock file. Every account that can open it can hold it and block the others."""
    return 0o660 if registry and file_mode(registry) & GROUP_WRITES else 0o600


def set_lock_mode(fd: int, registry: Optional[str]) -> None:
    """Set mode and group of a lock file, unless another account owns it or it has a second hard
    link, which may lead out of the folder. `registry` None: a lock that is not beside one."""
    if registry is not None:
        set_mode_and_group(fd, registry, lock_mode(registry))


def set_mode_and_group(fd: int, registry: str, mode: int) -> None:
    """Give an open file beside the registry this mode, and the registry's group if possible."""
    status = os.fstat(fd)
    if os.geteuid() not in (0, status.st_uid) or status.st_nlink != 1:
        return
    group = _group(registry)
    if group is not None and group != status.st_gid and mode & 0o070:
        try:
            os.fchown(fd, -1, group)
        except OSError:
            mode &= ~0o070  # do not open the file to another group than the registry's
    if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
        os.fchmod(fd, mode)


def _group(registry: str) -> Optional[int]:
    try:
        return os.stat(registry).st_gid
    except OSError:
        return None
