"""Disk blocks behind the end of a file, which the standard library cannot ask for.

Linux: fallocate(2) with FALLOC_FL_KEEP_SIZE. macOS: fcntl(2) with F_PREALLOCATE and its struct
fstore."""

from __future__ import annotations

import errno
import os

KEEP_SIZE = 1
F_PREALLOCATE, F_ALLOCATEALL, F_PEOFPOSMODE = 42, 4, 3
# The file system does not support it, or not for this file.
UNSUPPORTED_ERRNOS = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENODEV)


def fallocate(fd: int, size: int) -> bool:
    """False if it is not supported; OSError if there is no space."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return False
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    end = os.fstat(fd).st_size
    while call(fd, KEEP_SIZE, end, size):
        number = ctypes.get_errno()
        if number in UNSUPPORTED_ERRNOS:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def preallocate(fd: int, size: int) -> bool:
    """Like fallocate, on macOS."""
    import fcntl
    import struct

    request = struct.pack("=IiqqQ", F_ALLOCATEALL, F_PEOFPOSMODE, 0, size, 0)
    try:
        fcntl.fcntl(fd, F_PREALLOCATE, request)
    except OSError as exc:
        if exc.errno in UNSUPPORTED_ERRNOS:
            return False
        raise
    return True
