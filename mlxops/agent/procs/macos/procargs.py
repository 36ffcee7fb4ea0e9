"""The exact argv of a process on macOS, whose ps prints it joined by blanks.

By sysctl(3) with KERN_PROCARGS2, as Apple's own ps reads it (adv_cmds, ps/print.c): argc as an int,
the path of the program, NULs up to a word boundary, then the words of argv and of the environment,
each ended by a NUL."""

from __future__ import annotations

import sys
from typing import Callable, Optional, Tuple

from ..facts import Process

LIBRARY = "/usr/lib/libSystem.B.dylib"
CTL_KERN, KERN_PROCARGS2 = 1, 49
# KERN_ARGMAX of every macOS so far.
BUFFER_BYTES = 1 << 20
Reader = Callable[[int], Optional[Tuple[str, ...]]]


def reader() -> Reader:
    """pid -> argv; None for a process that is gone or somebody else's, and where there is no such
    call."""
    raw = raw_reader()

    def read(pid: int) -> Optional[Tuple[str, ...]]:
        found = raw(pid)
        return None if found is None else decoded(found)

    return read


def raw_reader() -> Callable[[int], Optional[bytes]]:
    """pid -> what KERN_PROCARGS2 gives."""
    import ctypes

    try:
        sysctl = ctypes.CDLL(LIBRARY).sysctl
    except (OSError, AttributeError):
        return lambda pid: None
    room = ctypes.create_string_buffer(BUFFER_BYTES)

    def read(pid: int) -> Optional[bytes]:
        name, size = (
            (ctypes.c_int * 3)(CTL_KERN, KERN_PROCARGS2, pid),
            ctypes.c_size_t(BUFFER_BYTES),
        )
        failed = sysctl(name, 3, room, ctypes.byref(size), None, ctypes.c_size_t(0))
        return None if failed else ctypes.string_at(room, size.value)

    return read


def decoded(raw: bytes) -> Tuple[str, ...]:
    return _words(raw)[: _count(raw)]


def environment(raw: bytes) -> Tuple[str, ...]:
    """The words behind argv, NAME=VALUE each; the kernel leaves them out for programs that macOS
    protects."""
    return _words(raw)[_count(raw) :]


def _count(raw: bytes) -> int:
    return int.from_bytes(raw[:4], sys.byteorder)


def _words(raw: bytes) -> Tuple[str, ...]:
    words = raw[4:].partition(b"\0")[2].lstrip(b"\0").split(b"\0")
    return tuple(word.decode("utf-8", "surrogateescape") for word in words)


def exact(process: Process, words: Optional[Tuple[str, ...]]) -> Process:
    """The process with these words for its argv, where they are what ps has shown of it, blanks
    apart."""
    same = words is not None and " ".join(words).split() == list(process.argv)
    return process._replace(argv=words) if same and words else process
