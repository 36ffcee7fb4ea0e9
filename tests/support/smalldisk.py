"""Disks that a test fills, exhausts of inodes, or mounts read-only."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class SmallDisk:
    """A context manager: a tmpfs mounted at `place`. Needs root."""

    def __init__(self, place: Path, mb: int = 8, inodes: int = 4000) -> None:
        self.place = place
        self._options = f"size={mb}m,nr_inodes={inodes},mode=700"
        self._ballast = place / "ballast"

    def __enter__(self) -> SmallDisk:
        self.place.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", self._options, "tmpfs", self.place)
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "-l", self.place)

    def fill(self, leave: int = 0) -> None:
        """Use all bytes except about `leave`."""
        with self._ballast.open("ab", buffering=0) as f:
            for size in (1 << 20, 1 << 16, 1 << 12):
                while _written(f.fileno(), size):
                    continue
            os.ftruncate(f.fileno(), f.tell() - leave)

    def use_up_inodes(self) -> None:
        folder = self.place / "crowd"
        folder.mkdir()
        number = 0
        while True:
            try:
                (folder / str(number)).touch()
            except OSError as exc:
                assert exc.errno == errno.ENOSPC
                return
            number += 1

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)
        for path in (self.place / "crowd").glob("*"):
            path.unlink()


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Mount these folders read-only: files opened later cannot be written, open ones can. Needs
    root."""
    with ExitStack() as stack:
        for folder in folders:
            _run("mount", "--bind", folder, folder)
            stack.callback(_run, "umount", "-l", folder)
            _run("mount", "-o", "remount,bind,ro", folder)
        yield


def _written(fd: int, size: int) -> bool:
    try:
        return os.write(fd, bytes(size)) == size
    except OSError as exc:
        assert exc.errno == errno.ENOSPC
        return False


def _run(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True)
