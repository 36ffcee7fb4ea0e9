"""Remove a snapshot, or a loose blob, from the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Iterator

from .content import Held, Loose, Repo, read_repo


def remove_snapshot(repo: Repo, held: Held) -> None:
    """Remove a snapshot, the refs that name it, and the blobs that no other snapshot uses.

    Links out of the repository are removed, what they lead to stays. OSError if that fails; what
    is left is an incomplete snapshot, or blobs without one, which another removal completes."""
    for ref in _refs_to(repo.folder, held.revision):
        os.unlink(ref)
    shutil.rmtree(held.path)
    left = read_repo(repo.folder)
    for loose in left.loose:
        if loose.state == "unreferenced":
            remove_loose(loose)
    if not left.snapshots:
        _remove_empty(repo.folder)


def remove_loose(loose: Loose) -> None:
    """Remove a blob, unless a process writes it."""
    if loose.state != "downloading":
        os.unlink(loose.path)


def _refs_to(folder: str, revision: str) -> Iterator[str]:
    for parent, _, names in os.walk(os.path.join(folder, "refs")):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError), open(path, "rb") as file:
                if file.read(256).strip() == revision.encode():
                    yield path


def _remove_empty(folder: str) -> None:
    """Remove a repository without snapshots; not if files are left that are not ours to judge."""
    root, name = os.path.split(folder)
    for part in ("snapshots", "blobs"):
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(folder, part))
    if os.path.lexists(os.path.join(folder, "blobs")):
        return
    for part in ("refs", ".no_exist"):
        shutil.rmtree(os.path.join(folder, part), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(folder) if os.path.islink(folder) else os.rmdir(folder)
    shutil.rmtree(os.path.join(root, ".locks", name), ignore_errors=True)
