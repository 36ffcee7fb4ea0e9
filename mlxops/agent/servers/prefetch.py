"""Read a model's weights into the page cache while the old server still serves, if memory
allows."""

from __future__ import annotations

import os
import time
from typing import Callable, Iterator, NamedTuple, Optional, Sequence

from ..context import Context
from ..jobs.job import Job
from ..models import completeness
from ..procs import Unobservable

REPORT_INTERVAL_S = 0.5
# Kept free for the rest of the machine.
SPARE_BYTES = 2 << 30
CHUNK_BYTES = 8 << 20
# Limits for measuring the disk before a load to an empty port: the server reads the same bytes
# again.
MAX_SAMPLE_BYTES, MAX_SAMPLE_S = 256 << 20, 1.0
# Smaller samples say little about the disk.
MIN_SAMPLE_BYTES = 32 << 20


class ReadResult(NamedTuple):
    """Bytes read, and the seconds it took."""

    bytes_read: int
    seconds: float

    @property
    def bytes_per_s(self) -> Optional[float]:
        return (
            self.bytes_read / self.seconds
            if self.bytes_read >= MIN_SAMPLE_BYTES and self.seconds > 0
            else None
        )


def prefetch_weights(
    ctx: Context, job: Job, path: str, total: Optional[int], replaces: bool
) -> ReadResult:
    """Read the weights of the model at `path`: all if that shortens a swap, else a sample of the
    disk.

    `total`: their bytes, None if a file is missing."""
    if total is None:
        return ReadResult(0, 0.0)
    files = weight_paths(path)
    if not replaces or not _has_room(ctx, job, total):
        return read_files(files, MAX_SAMPLE_BYTES, MAX_SAMPLE_S, lambda done: ctx.client.check())
    job.phase("prepare", "reading weights into the page cache; the old model still serves")
    return read_files(files, total, None, _progress_callback(ctx, job, total))


def _has_room(ctx: Context, job: Job, total: int) -> bool:
    """Whether the page cache can hold the files in addition to everything that is running."""
    try:
        available = ctx.procs.memory().available_bytes
    except Unobservable as exc:
        job.emit("phase", phase="prepare", message="weights are not read ahead: %s" % exc.reason)
        return False
    if available < total + SPARE_BYTES:
        text = "weights are not read ahead: %.1f GiB of memory are free for %.1f GiB" % (
            available / (1 << 30),
            total / (1 << 30),
        )
        job.emit("phase", phase="prepare", message=text)
        return False
    return True


def _progress_callback(ctx: Context, job: Job, total: int) -> Callable[[int], None]:
    spoken = [time.monotonic()]

    def step(done: int) -> None:
        ctx.client.check()
        if time.monotonic() - spoken[0] > REPORT_INTERVAL_S:
            spoken[0] = time.monotonic()
            job.emit("progress", phase="prepare", done=done, total=total, file="")

    return step


def weight_paths(path: str) -> Sequence[str]:
    """The paths of a model's weight files."""
    try:
        return [os.path.join(path, name) for name in completeness.weight_files(path)]
    except OSError:
        return []


def read_files(
    paths: Sequence[str],
    max_bytes: Optional[int],
    max_s: Optional[float],
    on_progress: Callable[[int], None],
) -> ReadResult:
    """Read files one after another, to the end or a limit. `on_progress` gets the bytes so far, and
    may raise to cancel.

    A file that cannot be read is skipped: the server will report it."""
    began, done = time.monotonic(), 0
    for size in _sizes(paths):
        done += size
        on_progress(done)
        duration_s = time.monotonic() - began
        if (max_bytes is not None and done >= max_bytes) or (
            max_s is not None and duration_s >= max_s
        ):
            break
    return ReadResult(done, time.monotonic() - began)


def _sizes(paths: Sequence[str]) -> Iterator[int]:
    buffer = bytearray(CHUNK_BYTES)
    for path in paths:
        try:
            # O_NONBLOCK: do not hang on a FIFO.
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
