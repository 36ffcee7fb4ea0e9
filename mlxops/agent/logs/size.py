"""Truncate server logs that grew too large, in place, while the server keeps writing.

The server holds the file open for appending, so it cannot be replaced: its end is copied to `.1`,
then the file is truncated. The cost does not depend on the log's size. Between copy and truncation
a line may be lost, as with logrotate's copytruncate."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ..clock import now

MAX_LOG_BYTES = 64 << 20
KEPT_BYTES = 4 << 20
MAX_COPY_ROUNDS = 5


class Truncation(NamedTuple):
    """A truncated log: its bytes on disk before, and how many of its end are kept in `.1`."""

    path: str
    size: int
    kept: int


def truncate_if_large(path: str) -> None:
    """Truncate the log if it is too large. If that fails, a later command does it."""
    with contextlib.suppress(OSError):
        truncate(path)


def allocated_bytes(was: os.stat_result) -> int:
    """The bytes a file takes on disk; the size of a log with a hole is larger."""
    return min(was.st_size, was.st_blocks * 512)


def large_logs(state_dir: str, largest: int = MAX_LOG_BYTES) -> List[Tuple[str, int]]:
    """The path and size on disk of each log above the limit in a state folder, `.1` included."""
    found = [(path, allocated_bytes(was)) for path, was in _files(os.path.join(state_dir, "logs"))]
    return [(path, size) for path, size in found if size > largest]


def port_of_log(path: str) -> Optional[int]:
    """The port whose server or rank writes this log."""
    number = os.path.basename(path).split(".")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def truncate(
    path: str, largest: int = MAX_LOG_BYTES, keep: int = KEPT_BYTES
) -> Optional[Truncation]:
    """Truncate a log above the limit; None if it is smaller or not this user's regular file. May
    raise OSError.

    The caller makes sure that no server is started on the port meanwhile."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        was = os.fstat(fd)
        size = allocated_bytes(was)
        if not stat.S_ISREG(was.st_mode) or was.st_uid != os.geteuid() or size <= largest:
            return None
        end = os.pread(fd, keep, max(0, was.st_size - keep))
        aside = path.endswith(".1")
        rest_bytes = _shrink(path, end) if aside else _copy_and_truncate(fd, path, end, was.st_size)
        return Truncation(path, size, rest_bytes)
    finally:
        os.close(fd)


def _shrink(path: str, end: bytes) -> int:
    """Replace the log of an earlier server, which no process writes, by its end."""
    _replace(path, end)
    return len(end)


def _copy_and_truncate(fd: int, path: str, end: bytes, size: int) -> int:
    """Copy the log's end to `.1`, then truncate the log; if the disk is full, in reverse order."""
    copy = path + ".1"
    try:
        _replace(copy, end)
        size += _append_rest(fd, copy, size)
        os.ftruncate(fd, 0)
    except OSError:
        os.ftruncate(fd, 0)
        _replace(copy, end)
    with contextlib.suppress(OSError), open(path, "ab") as log:
        log.write(
            b"mlxops: truncated at %s; the %d KiB before are in %s\n"
            % (now().encode(), len(end) >> 10, os.fsencode(os.path.basename(copy)))
        )
    return len(end)


def _append_rest(fd: int, copy: str, size: int) -> int:
    """Append to the copy what the server wrote meanwhile; return the number of bytes."""
    added = 0
    with open(copy, "ab") as out:
        for _ in range(MAX_COPY_ROUNDS):
            block = os.pread(fd, KEPT_BYTES, size + added)
            if not block:
                break
            out.write(block)
            out.flush()
            added += len(block)
    return added


def _replace(path: str, content: bytes) -> None:
    draft = path + ".tmp"
    try:
        with open(draft, "wb") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write(content)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def _files(folder: str) -> Iterator[Tuple[str, os.stat_result]]:
    """The regular files in a folder; they may disappear at any moment."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            was = os.lstat(path)
            if stat.S_ISREG(was.st_mode):
                yield path, was


class FolderSize(NamedTuple):
    """The bytes on disk, the number of files, and the largest file of a folder."""

    size: int
    files: int
    largest: str
    largest_size: int


def measure_folder(folder: str, most_files: int = 20_000) -> FolderSize:
    """Measure a folder and its subfolders, up to `most_files` files."""
    size, count, largest, largest_size = 0, 0, "", 0
    folders = [folder]
    while folders and count < most_files:
        here = folders.pop()
        for path, was in _files(here):
            size_bytes = allocated_bytes(was)
            size, count = size + size_bytes, count + 1
            if size_bytes > largest_size:
                largest, largest_size = path, size_bytes
        with contextlib.suppress(OSError):
            folders += [e.path for e in os.scandir(here) if e.is_dir(follow_symlinks=False)]
    return FolderSize(size, count, largest, largest_size)
