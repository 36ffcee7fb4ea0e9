"""Files of one JSON object per line: append, and read a bounded part from the end.

A full file is renamed to NAME.1, which replaces the one before it."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO, Dict, List, Mapping, NamedTuple

from .untrusted import read_bounded

HOW = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Records(NamedTuple):
    """Records of a line file, oldest first. `damaged`: lines that are not objects. `whole`: the
    files were read to their beginning. `unreadable`: a file that exists and cannot be read."""

    records: List[Dict[str, Any]]
    damaged: int = 0
    whole: bool = True
    unreadable: str = ""


def older(path: str) -> str:
    return path + ".1"


def append(path: str, record: Mapping[str, Any], max_bytes: int) -> bool:
    """Append one line; whether it was written. For what must not fail because of its record."""
    try:
        with os.fdopen(os.open(path, HOW, 0o600), "ab") as f:
            full = write_line(f, record) > max_bytes
        if full:
            os.replace(path, older(path))
    except OSError:
        return False
    return True


def write_line(f: BinaryIO, record: Mapping[str, Any]) -> int:
    """Append to a file opened with HOW, on a new line also if the last one was cut short; return
    the size. May raise OSError."""
    size = os.fstat(f.fileno()).st_size
    lead = b"\n" if size and os.pread(f.fileno(), 1, size - 1) != b"\n" else b""
    f.write(lead + json.dumps(record).encode("ascii") + b"\n")
    f.flush()
    return os.fstat(f.fileno()).st_size


def read_newest(path: str, max_bytes: int) -> Records:
    """The records in the last `max_bytes` of a file and of the one it replaced."""
    newest = _read(path, max_bytes)
    size = _size(path)
    if not newest.whole:
        return newest
    before = _read(older(path), max(0, max_bytes - size))
    return Records(
        before.records + newest.records,
        before.damaged + newest.damaged,
        before.whole,
        newest.unreadable or before.unreadable,
    )


def _read(path: str, max_bytes: int) -> Records:
    content = read_bounded(path, max_bytes, end=True) if max_bytes else b""
    if content is None:
        return Records([], unreadable=path if os.path.lexists(path) else "")
    whole = _size(path) <= max_bytes
    lines = content.split(b"\n")
    # The first line of a part is cut.
    parsed = [_parse(line) for line in lines[0 if whole else 1 :] if line.strip(b"\0 \r")]
    records = [record for record in parsed if record]
    return Records(records, len(parsed) - len(records), whole)


def _parse(line: bytes) -> Dict[str, Any]:
    """The object of a line; {} for anything else."""
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
