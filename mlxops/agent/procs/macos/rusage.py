"""What macOS charges to a process: memory, Metal's buffers included, which is the figure that
Activity Monitor shows and RSS is not; and what it has read from disks."""

from __future__ import annotations

from typing import Optional

LIBRARY = "/usr/lib/libproc.dylib"
RUSAGE_INFO_V0 = 0
# struct rusage_info_v0 of <sys/resource.h>: a uuid of 16 bytes, then ten uint64; ri_phys_footprint
# is the eighth.
LAYOUT = "=16x10Q"
PHYS_FOOTPRINT = 7
# rusage_info_v2 adds six uint64 of v1, and two of its own: ri_diskio_bytesread is the first.
RUSAGE_INFO_V2 = 2
LAYOUT_V2 = "=16x18Q"
DISKIO_BYTESREAD = 16


def footprint(pid: int) -> Optional[int]:
    """Bytes; None for a process that is gone or somebody else's, and where there is no libproc."""
    raw = _ask(pid, RUSAGE_INFO_V0, LAYOUT)
    return None if raw is None else decoded(raw)


def bytes_read(pid: int) -> Optional[int]:
    """The same for bytes read from disks."""
    raw = _ask(pid, RUSAGE_INFO_V2, LAYOUT_V2)
    return None if raw is None else decoded_bytes_read(raw)


def _ask(pid: int, flavor: int, layout: str) -> Optional[bytes]:
    import ctypes
    import struct

    try:
        ask = ctypes.CDLL(LIBRARY).proc_pid_rusage
    except (OSError, AttributeError):
        return None
    answer = ctypes.create_string_buffer(struct.calcsize(layout))
    if ask(ctypes.c_int(pid), ctypes.c_int(flavor), answer) != 0:
        return None
    return answer.raw


def decoded(raw: bytes) -> int:
    import struct

    return int(struct.unpack(LAYOUT, raw)[PHYS_FOOTPRINT])


def decoded_bytes_read(raw: bytes) -> int:
    import struct

    return int(struct.unpack(LAYOUT_V2, raw)[DISKIO_BYTESREAD])
