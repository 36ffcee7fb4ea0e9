"""Read the last lines of a log and follow it, in blocks, also if it is replaced or truncated."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ..errors import Failed
from .lines import LineSplitter, after_ends, count_ends

BLOCK = 256 << 10
# The most that is read backwards from the end, whatever the number of lines.
MAX_SCAN_BYTES = 64 << 20
MAX_READ_BYTES = 4 << 20
# A partial line is shown after this long without more output.
PARTIAL_LINE_S = 3.0
# These last bytes show whether a file was truncated and has grown since.
FINGERPRINT_BYTES = 4096
MAX_FILES = 4


def open_log(path: str) -> int:
    """Open a regular file for reading, without waiting for a FIFO's writer; else OSError or
    Failed."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Failed("%s is not a regular file" % path, "check it on the host", path=path)
    return fd


class TailStart(NamedTuple):
    """Where the last lines begin, and their number. `torn`: the offset is inside a line."""

    offset: int
    found: int
    torn: bool = False


def find_tail_start(fd: int, lines: int, end: int) -> TailStart:
    """Find the beginning of the last `lines` lines before `end`, within the last MAX_SCAN_BYTES."""
    if lines <= 0 or end == 0:
        return TailStart(end, 0)
    begin, found, floor = end, 0, max(0, end - MAX_SCAN_BYTES)
    while begin > floor:
        stop, begin = begin, max(floor, begin - BLOCK)
        if begin > floor and os.pread(fd, 2, begin - 1) == b"\r\n":
            begin -= 1
        block = os.pread(fd, stop - begin, begin)
        here = count_ends(block) - (stop == end and block.endswith((b"\n", b"\r")))
        if found + here >= lines:
            starts = [begin + place for place in after_ends(block) if begin + place < end]
            return TailStart(starts[found - lines], lines)
        found += here
    return TailStart(floor, found + 1, torn=floor > 0)


def last_line_end(fd: int, end: int) -> int:
    """Where the last complete line before `end` ends; `end` if no line ends close to it."""
    begin = max(0, end - BLOCK)
    ends = after_ends(os.pread(fd, end - begin, begin))
    return begin + ends[-1] if ends else end


def tail(path: str, lines: int) -> List[str]:
    """The last lines of a log; [] if there is none."""
    try:
        fd = open_log(path)
    except (OSError, Failed):
        return []
    try:
        end = os.fstat(fd).st_size
        return [
            line
            for some in lines_between(fd, find_tail_start(fd, lines, end), end)
            for line in some
        ]
    finally:
        os.close(fd)


def lines_between(fd: int, start: TailStart, end: int) -> Iterator[List[str]]:
    """The lines from `start` to `end`, one list per block."""
    split = LineSplitter(torn=start.torn)
    for _, block in blocks(fd, start.offset, end):
        yield split.feed(block)
    yield split.end()


def blocks(fd: int, offset: int, end: int) -> Iterator[Tuple[int, bytes]]:
    """The blocks between two offsets, each with the offset after it. Holes are skipped."""
    while offset < end:
        offset = _next_content(fd, offset, end)
        block = os.pread(fd, min(BLOCK, end - offset), offset)
        offset += len(block)
        yield offset, block
        if not block:
            return


def _next_content(fd: int, offset: int, end: int) -> int:
    seek = getattr(os, "SEEK_DATA", None)
    try:
        return offset if seek is None else min(end, os.lseek(fd, offset, seek))
    except OSError as exc:
        # ENXIO: only a hole follows. Others: the file system does not support SEEK_DATA.
        return end if exc.errno == errno.ENXIO else offset


class FollowedFile:
    """One open log, read from `start` on; copes with truncation in place."""

    def __init__(self, fd: int, start: TailStart) -> None:
        self._fd = fd
        self._offset = offset = start.offset
        self._split = LineSplitter(torn=start.torn)
        self._known = os.pread(
            fd, min(FINGERPRINT_BYTES, offset), max(0, offset - FINGERPRINT_BYTES)
        )
        self._grew = time.monotonic()

    @property
    def identity(self) -> Tuple[int, int]:
        was = os.fstat(self._fd)
        return was.st_dev, was.st_ino

    def more(self, copy: str) -> List[str]:
        """The new lines. `copy`: the file that may hold the end of the truncated part."""
        lines = self._after_truncation(copy) if self._truncated() else []
        unread = self._unread()
        if self._truncated() and self._is_current(unread):
            # Truncated after the first check, and grown beyond the offset: other text follows.
            lines += self._after_truncation(copy)
            unread = self._unread()
        for behind, block in unread:
            if behind - len(block) != self._offset:
                self._known = b""
            self._offset, self._known, self._grew = (
                behind,
                (self._known + block)[-FINGERPRINT_BYTES:],
                time.monotonic(),
            )
            lines += self._split.feed(block)
        if self._split.has_partial_line and time.monotonic() - self._grew > PARTIAL_LINE_S:
            lines += self._split.flush_partial()
        return lines

    def close(self) -> List[str]:
        os.close(self._fd)
        return self._split.end()

    def _unread(self) -> List[Tuple[int, bytes]]:
        end = os.fstat(self._fd).st_size
        return list(blocks(self._fd, self._offset, min(end, self._offset + MAX_READ_BYTES)))

    def _is_current(self, unread: List[Tuple[int, bytes]]) -> bool:
        """Whether the file still has these blocks; if not, they were read before a truncation."""
        return all(os.pread(self._fd, len(b), end - len(b)) == b for end, b in unread)

    def _truncated(self) -> bool:
        if os.fstat(self._fd).st_size < self._offset:
            return True
        return os.pread(self._fd, len(self._known), self._offset - len(self._known)) != self._known

    def _after_truncation(self, copy: str) -> List[str]:
        """The lines between the last read and the truncation, if `copy` has them."""
        rest = bytes_after(copy, self._known)
        lines = self._split.end() if rest is None else self._split.feed(rest)
        self._offset, self._known, self._grew = 0, b"", time.monotonic()
        return lines


def bytes_after(path: str, known: bytes) -> Optional[bytes]:
    """The bytes after `known` in the last MAX_READ_BYTES of a file; None if it is not there."""
    try:
        fd = open_log(path) if known else -1
    except (OSError, Failed):
        return None
    if fd < 0:
        return None
    try:
        size = os.fstat(fd).st_size
        content = os.pread(fd, MAX_READ_BYTES, max(0, size - MAX_READ_BYTES))
    finally:
        os.close(fd)
    place = content.rfind(known)
    return None if place < 0 else content[place + len(known) :]


class Follower:
    """The log at a path, and the earlier ones: a server keeps writing to a renamed file."""

    def __init__(self, path: str, fd: int, start: TailStart) -> None:
        self._path = path
        self._files = [FollowedFile(fd, start)]

    def more(self) -> List[str]:
        """The new lines, those of older files first."""
        newcomer = self._newcomer()
        lines = [line for file in self._files for line in file.more(self._path + ".1")]
        if newcomer is not None:
            self._files.append(newcomer)
            lines += newcomer.more(self._path + ".1")
        while len(self._files) > MAX_FILES:
            lines += self._files.pop(0).close()
        return lines

    def _newcomer(self) -> Optional[FollowedFile]:
        """A new file at the path, if there is one."""
        try:
            fd = open_log(self._path)
        except (OSError, Failed):
            return None
        found = FollowedFile(fd, TailStart(0, 0))
        if any(file.identity == found.identity for file in self._files):
            found.close()
            return None
        return found
