"""Checks a downloaded snapshot and makes it the current one."""

from __future__ import annotations

import os
from typing import List

from ..errors import Failed
from ..models.cache import inspect, repo_folder
from ..models.completeness import find_faults
from ..untrusted import is_safe_relative_path
from .remote import Remote


def damaged_files(remote: Remote, cache_dir: str) -> List[str]:
    """Existing files of the snapshot that are damaged."""
    try:
        path = os.path.join(cache_dir, repo_folder(remote.repo_id), "snapshots", remote.revision)
        return sorted(find_faults(path, deep=True))
    except OSError:
        return []


def finish_snapshot(remote: Remote, cache_dir: str) -> str:
    repo = os.path.join(os.path.abspath(cache_dir), repo_folder(remote.repo_id))
    snapshot = inspect(os.path.join(repo, "snapshots", remote.revision))
    listed = {path for path, _ in remote.files}
    if any(name in listed or not remote.allow_incomplete for name in snapshot.missing):
        raise Failed(
            "the download of %s is incomplete: %s"
            % (remote.repo_id, ", ".join(snapshot.fault_texts)),
            "the repository itself may be incomplete: check it on the Hub",
            missing=list(snapshot.missing),
        )
    if remote.requested != remote.revision and is_safe_relative_path(remote.requested):
        _point(os.path.join(repo, "refs", remote.requested), remote.revision)
    return snapshot.path


def _point(ref: str, commit: str) -> None:
    """Write a ref. Only after the download, so that refs/main never names a partial snapshot."""
    os.makedirs(os.path.dirname(ref), exist_ok=True)
    draft = "%s.%d" % (ref, os.getpid())
    with open(draft, "w", encoding="ascii") as stream:
        stream.write(commit)
    os.replace(draft, ref)
