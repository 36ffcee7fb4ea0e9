"""What macOS charges to a process, Metal's buffers included: the figure Activity Monitor shows,
which RSS is not."""

from __future__ import annotations

from typing import Optional

LIBRARY = "/usr/lib/libproc.dylib"
RUSAGE_INFO_V0 = 0
# struct rusage_info_v0 of <sys/resource.h>: a uuid of 16 bytes, then ten uint64; ri_phys_footprint
# is the eighth.
LAYOUT = "=16x10Q"
PHYS_FOOTPRINT = 7


def footprint(pid: int) -> Optional[int]:
    """Bytes; None for a process that is gone or somebody else's, and where there is no libproc."""
    import ctypes
    import struct

    try:
        ask = ctypes.CDLL(LIBRARY).proc_pid_rusage
    except (OSError, AttributeError):
        return None
    answer = ctypes.create_string_buffer(struct.calcsize(LAYOUT))
    if ask(ctypes.c_int(pid), ctypes.c_int(RUSAGE_INFO_V0), answer) != 0:
        return None
    return decoded(answer.raw)


def decoded(raw: bytes) -> int:
    import struct

    return int(struct.unpack(LAYOUT, raw)[PHYS_FOOTPRINT])
