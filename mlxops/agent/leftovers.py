"""Half-downloaded blobs that nobody can resume."""

from __future__ import annotations

import os

from .hfcache import repo_folder

_END = ".incomplete"


def _abandoned(lock: str) -> bool:
    """Whether no process downloads the blob: huggingface_hub holds a flock on its lock file meanwhile."""
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


def sweep(cache_dir: str, repo_id: str) -> int:
    """Remove what killed downloads of huggingface_hub 2.x left of a repository, and return how many files that were.

    2.x writes ETAG.RANDOM.incomplete and never looks at it again; 1.x writes ETAG.incomplete and resumes it, so
    that one stays (huggingface_hub/file_download.py, `_download_to_tmp_and_move`).
    """
    folder, count = repo_folder(repo_id), 0
    blobs = os.path.join(cache_dir, folder, "blobs")
    try:
        names = os.listdir(blobs) if folder else []
    except OSError:
        return 0
    for name in names:
        etag, _, rest = name[:-len(_END)].partition(".")
        lock = os.path.join(cache_dir, ".locks", folder, etag + ".lock")
        if name.endswith(_END) and len(rest) == 8 and _abandoned(lock):
            count += _removed(os.path.join(blobs, name))
    return count
