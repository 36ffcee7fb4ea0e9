"""What can be done for a start while the server before it still serves: its files are read ahead, if memory allows."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ..context import Command
from ..jobs.job import Job
from ..procs import Unseen
from . import readahead
from .readahead import SAMPLE_BYTES, SAMPLE_S, Reading

SAY_EVERY_S = 0.5
# Left to the rest of the machine.
SPARE_BYTES = 2 << 30


def head_start(command: Command, job: Job, path: str, total: Optional[int], replaces: bool) -> Reading:
    """Read the weights of the model at `path`: all of them where that shortens a swap, else a sample of the disk.

    `total`: their bytes, None where one of the files is absent.
    """
    if total is None:
        return Reading(0, 0.0)
    files = readahead.weights(path)
    if not replaces or not _has_room(command, job, total):
        return readahead.read(files, SAMPLE_BYTES, SAMPLE_S, lambda done: command.client.check())
    job.phase("prepare", "reading its weights ahead, the port still serves")
    return readahead.read(files, total, None, _teller(command, job, total))


def _has_room(command: Command, job: Job, total: int) -> bool:
    """Whether the page cache can take the files beside all that runs."""
    try:
        available = command.procs.memory().available_bytes
    except Unseen as exc:
        job.emit("phase", phase="prepare", message="files are not read ahead: %s" % exc.reason)
        return False
    if available < total + SPARE_BYTES:
        text = "files are not read ahead: %.3g GB of memory are free for %.3g GB" % (available / 1e9, total / 1e9)
        job.emit("phase", phase="prepare", message=text)
        return False
    return True


def _teller(command: Command, job: Job, total: int) -> Callable[[int], None]:
    spoken = [time.monotonic()]

    def step(done: int) -> None:
        command.client.check()
        if time.monotonic() - spoken[0] > SAY_EVERY_S:
            spoken[0] = time.monotonic()
            job.emit("progress", phase="prepare", done=done, total=total, file="")

    return step
