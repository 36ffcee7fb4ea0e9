"""Read input from others: bounded, regular files only, and JSON of any shape."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, Optional


def is_safe_relative_path(name: object) -> bool:
    """Whether the name, from a file or the network, is a relative path that stays inside its
    folder."""
    if (
        not isinstance(name, str)
        or not 0 < len(name) < 1024
        or "\\" in name
        or not name.isprintable()
    ):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def read_bounded(path: str, limit: int, end: bool = False) -> Optional[bytes]:
    """The first `limit` bytes of a regular file, or the last with `end`; None for anything else or
    if unreadable."""
    try:
        # Without O_NONBLOCK a FIFO would block forever. Without O_NOCTTY a terminal would become
        # the controlling one.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        return _read_regular(fd, limit, end)
    except OSError:
        return None
    finally:
        os.close(fd)


def _read_regular(fd: int, limit: int, end: bool) -> Optional[bytes]:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return None
    with open(fd, "rb", closefd=False) as stream:
        stream.seek(max(0, status.st_size - limit) if end else 0)
        return stream.read(limit)


def parse_object(raw: Optional[bytes]) -> Dict[str, Any]:
    """The JSON object in `raw`; {} for anything else."""
    try:
        value = json.loads(raw.decode("utf-8")) if raw else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
