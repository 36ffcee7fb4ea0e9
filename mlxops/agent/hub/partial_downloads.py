"""Partial downloads: which are abandoned, and which of those cannot be resumed."""

from __future__ import annotations

import os
from typing import Optional

from ..models.cache import repo_folder

_END = ".incomplete"
RESUMABLE, UNRESUMABLE = "resumable", "lost"


def abandoned_state(path: str) -> Optional[str]:
    """Whether an abandoned partial blob can be resumed; None for any other file, and for one that
    is being downloaded.

    huggingface_hub 2.x writes ETAG.RANDOM.incomplete and never uses it again; 1.x writes
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
    """Whether no process is downloading the blob, by the flock that huggingface_hub holds."""
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
    """Remove the parts of killed downloads that cannot be resumed; return their number.

    `resumable`: also those that can be resumed, if their content cannot be trusted."""
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
