"""Bring a model's files into the page cache, so that the server that is started next need not wait for the disk."""

from __future__ import annotations

import os
import time
from typing import Callable, Iterator, NamedTuple, Optional, Sequence

from ..models import wholeness

CHUNK = 8 << 20
# What a look at the disk's speed may cost a load to an empty port: the server reads the same bytes again anyway.
SAMPLE_BYTES, SAMPLE_S = 256 << 20, 1.0
# Less says more about the moment than about the disk.
TELLING_BYTES = 32 << 20


class Reading(NamedTuple):
    """Bytes read, and the seconds it took."""

    done: int
    seconds: float

    @property
    def bytes_per_s(self) -> Optional[float]:
        return self.done / self.seconds if self.done >= TELLING_BYTES and self.seconds > 0 else None


def weights(path: str) -> Sequence[str]:
    """The files of a model's weights."""
    try:
        return [os.path.join(path, name) for name in wholeness.weight_files(path)]
    except OSError:
        return []


def read(
    paths: Sequence[str], most_bytes: Optional[int], most_s: Optional[float], step: Callable[[int], None]
) -> Reading:
    """Read them one after another, to the end or a limit. `step` hears of the bytes so far, and may raise to cancel.

    A file that cannot be read is passed over: the server will say what is wrong with it.
    """
    began, done = time.monotonic(), 0
    for size in _sizes(paths):
        done += size
        step(done)
        taken = time.monotonic() - began
        if (most_bytes is not None and done >= most_bytes) or (most_s is not None and taken >= most_s):
            break
    return Reading(done, time.monotonic() - began)


def _sizes(paths: Sequence[str]) -> Iterator[int]:
    buffer = bytearray(CHUNK)
    for path in paths:
        try:
            # Not to be held up by what is no file.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, ValueError):
            continue
        try:
            yield from _chunks(fd, buffer)
        finally:
            os.close(fd)


def _chunks(fd: int, buffer: bytearray) -> Iterator[int]:
    try:
        yield from iter(lambda: os.readv(fd, [buffer]), 0)
    except OSError:
        return
