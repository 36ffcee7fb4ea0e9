"""The content of the Hub's cache: snapshots, and files that belong to none.

The files of a snapshot are links to blobs, which the snapshots of a repository share."""

from __future__ import annotations

import os
import stat
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..hub.partial_downloads import abandoned_state
from ..models import cache as hfcache

# (device, inode) of a file.
FileId = Tuple[int, int]


class Held(NamedTuple):
    """A snapshot in the cache. `blobs`: the size of each file, None if it cannot be read.
    `current`: a load without a revision may serve it. `link`: a part of the repository that is a
    link, "" if none is: what it leads to may belong to others."""

    repo_id: str
    revision: str
    path: str
    current: bool
    blobs: Optional[Mapping[FileId, int]]
    link: str = ""

    @property
    def size_bytes(self) -> Optional[int]:
        return None if self.blobs is None else sum(self.blobs.values())


class Loose(NamedTuple):
    """A blob of no snapshot. `state`: partial (of an interrupted download), downloading (a process
    writes it now), or unreferenced."""

    repo_id: str
    path: str
    size_bytes: int
    state: str


class Repo(NamedTuple):
    """The folder of a repository in a cache."""

    repo_id: str
    folder: str
    snapshots: Tuple[Held, ...]
    loose: Tuple[Loose, ...]

    @property
    def is_downloading(self) -> bool:
        return any(one.state == "downloading" for one in self.loose)


def read_cache(hf_home: str) -> Tuple[Repo, ...]:
    """Every model repository in the cache, by name; EvidenceUnknown if a cache cannot be listed."""
    repos: Dict[str, Repo] = {}
    for folder in hfcache.repo_folders(hf_home):
        repos.setdefault(os.path.realpath(folder), read_repo(folder))
    return tuple(sorted(repos.values(), key=lambda repo: (repo.repo_id.lower(), repo.folder)))


def read_repo(folder: str) -> Repo:
    """A repository's folder; without what cannot be listed."""
    repo_id = hfcache.repo_of_folder(folder)
    current = hfcache.loadable_revisions(folder)
    snapshots = []
    for path in _folders(os.path.join(folder, "snapshots")):
        revision = os.path.basename(path)
        snapshots.append(
            Held(
                repo_id=repo_id,
                revision=revision,
                path=path,
                current=revision in current,
                blobs=_blobs(path),
                link=_link_of(folder),
            )
        )
    return Repo(repo_id, folder, tuple(snapshots), tuple(_loose(repo_id, folder, snapshots)))


def _folders(parent: str) -> List[str]:
    try:
        with os.scandir(parent) as found:
            return sorted(one.path for one in found if one.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _has_links(folder: str) -> bool:
    """Whether the snapshots of a repository, or one of them, are links."""
    place = os.path.join(folder, "snapshots")
    try:
        with os.scandir(place) as found:
            return os.path.islink(place) or any(one.is_symlink() for one in found)
    except OSError:
        return os.path.lexists(place)


def _link_of(folder: str) -> str:
    parts = (os.path.join(folder, part) for part in ("snapshots", "blobs"))
    return next(filter(os.path.islink, parts), "")


def _blobs(path: str) -> Optional[Dict[FileId, int]]:
    try:
        files = list(hfcache.file_statuses(path))
    except (OSError, ValueError):
        return None
    return {(status.st_dev, status.st_ino): status.st_size for status in files}


def _loose(repo_id: str, folder: str, snapshots: List[Held]) -> Iterator[Loose]:
    referenced = {blob for held in snapshots for blob in held.blobs or ()}
    # A link may lead to a disk that is not mounted: what uses the blobs cannot be told then.
    unknown = any(held.blobs is None for held in snapshots) or _has_links(folder)
    blobs = os.path.join(folder, "blobs")
    for path, status in _files(blobs):
        if path.endswith(".incomplete"):
            state = "partial" if abandoned_state(path) else "downloading"
            if state == "partial" and os.path.islink(blobs):
                continue
        elif os.path.islink(blobs) or unknown or (status.st_dev, status.st_ino) in referenced:
            continue
        else:
            state = "unreferenced"
        # A part of a download is sparse.
        size = min(status.st_size, status.st_blocks * 512) if state == "partial" else status.st_size
        yield Loose(repo_id, path, size, state)


def _files(folder: str) -> List[Tuple[str, os.stat_result]]:
    """The regular files of a folder."""
    try:
        with os.scandir(folder) as found:
            rows = [(one.path, one.stat(follow_symlinks=False)) for one in found]
    except OSError:
        return []
    return sorted(row for row in rows if stat.S_ISREG(row[1].st_mode))
