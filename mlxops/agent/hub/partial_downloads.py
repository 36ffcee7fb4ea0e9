"""Half-downloaded blobs: which of them nobody works on, and which of those nobody can resume."""

from __future__ import annotations

import os
from typing import Optional

from ..models.cache import repo_folder

_END = ".incomplete"
RESUMABLE, UNRESUMABLE = "resumable", "lost"


def abandoned_state(path: str) -> Optional[str]:
    """What an unfinished blob of a cache is good for; None for any other file, and for one that is
    being downloaded.

    2.x of huggingface_hub writes ETAG.RANDOM.incomplete and never looks at it again; 1.x writes
    ETAG.incomplete and resumes it (huggingface_hub/file_download.py,
    `_download_to_tmp_and_move`)."""
    blobs, name = os.path.split(path)
    root, folder = os.path.split(os.path.dirname(blobs))
    etag, _, rest = name[: -len(_END)].partition(".")
    if not name.endswith(_END) or not _unlocked(
        os.path.join(root, ".locks", folder, etag + ".lock")
    ):
        return None
    return UNRESUMABLE if len(rest) == 8 else RESUMABLE


def _unlocked(lock: str) -> bool:
    """Whether no process downloads the blob: huggingface_hub holds a flock on its lock file
    meanwhile."""
    import fcntl

    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _removed(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def remove_abandoned(cache_dir: str, repo_id: str, resumable: bool = False) -> int:
    """Remove what killed downloads left of a repository that nobody can resume; how many files that
    were.

    `resumable`: also what could be resumed, because nothing that came is to be trusted."""
    folder, count = repo_folder(repo_id), 0
    blobs = os.path.join(cache_dir, folder, "blobs")
    try:
        names = os.listdir(blobs) if folder else []
    except OSError:
        return 0
    for name in names:
        path = os.path.join(blobs, name)
        if abandoned_state(path) in ((UNRESUMABLE, RESUMABLE) if resumable else (UNRESUMABLE,)):
            count += _removed(path)
    return count
