"""A downloaded snapshot: what is wrong with it, and how it becomes the one that counts."""

from __future__ import annotations

import os
from typing import List

from ..errors import Failed
from ..models.cache import inspect, repo_folder
from ..models.completeness import find_faults
from ..untrusted import is_safe_relative_path
from .remote import Remote


def damaged_files(remote: Remote, cache_dir: str) -> List[str]:
    """Files that are there with their full size, and damaged."""
    try:
        path = os.path.join(cache_dir, repo_folder(remote.repo_id), "snapshots", remote.revision)
        return sorted(find_faults(path, deep=True))
    except OSError:
        return []


def finish_snapshot(remote: Remote, cache_dir: str) -> str:
    repo = os.path.join(os.path.abspath(cache_dir), repo_folder(remote.repo_id))
    snapshot = inspect(os.path.join(repo, "snapshots", remote.revision))
    if not snapshot.complete:
        raise Failed(
            "%s came without %s, so it is not a whole model"
            % (remote.repo_id, ", ".join(snapshot.missing_reasons)),
            "the repository itself may be incomplete: look at it on the Hub",
            missing=list(snapshot.missing),
        )
    if remote.requested != remote.revision and is_safe_relative_path(remote.requested):
        _point(os.path.join(repo, "refs", remote.requested), remote.revision)
    return snapshot.path


def _point(ref: str, commit: str) -> None:
    """Only now, so that refs/main never names a snapshot that is still on its way."""
    os.makedirs(os.path.dirname(ref), exist_ok=True)
    draft = "%s.%d" % (ref, os.getpid())
    with open(draft, "w", encoding="ascii") as stream:
        stream.write(commit)
    os.replace(draft, ref)
