"""Decide what in the cache may be removed. Pure."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from .content import FileId, Held, Loose, Repo

# What is removed only if it is named.
OTHER = "other"
REMOVABLE = ("unused", "old", "partial", "unreferenced")


class Use(NamedTuple):
    """How a snapshot is used. `entries`: names; `others`: processes and jobs; `servable`: it is a
    model that mlxops would register."""

    entries: Sequence[str] = ()
    others: Sequence[str] = ()
    declared: bool = False
    servable: bool = True


class Item(NamedTuple):
    """One thing in the cache. `state`: in use, registered, declared, downloading, or one of
    REMOVABLE and OTHER. `reason`: why it is in that state, in words."""

    repo_id: str
    revision: str
    path: str
    size_bytes: int
    state: str
    reason: str
    entries: Tuple[str, ...] = ()

    @property
    def removable(self) -> bool:
        return self.state in REMOVABLE


def judge_repo(repo: Repo, uses: Mapping[str, Use]) -> List[Item]:
    """The items of a repository. `uses`: path of a snapshot -> its use."""
    items = [_snapshot_item(repo, held, uses[held.path]) for held in repo.snapshots]
    return [*items, *map(_loose_item, repo.loose)]


def _snapshot_item(repo: Repo, held: Held, use: Use) -> Item:
    state, reason = _state(repo, held, use)
    return Item(
        repo_id=held.repo_id,
        revision=held.revision,
        path=held.path,
        size_bytes=held.size_bytes or 0,
        state=state,
        reason=reason,
        entries=tuple(use.entries),
    )


def _state(repo: Repo, held: Held, use: Use) -> Tuple[str, str]:
    if use.others:
        return "in use", "by %s" % ", ".join(use.others[:3])
    if use.entries:
        return "registered", "entry %s" % ", ".join(use.entries)
    if repo.is_downloading:
        return "downloading", "a process is writing to this repository"
    if held.blobs is None:
        return "unknown", "its files cannot be read"
    if held.link:
        return "unknown", "%s is a link; what it leads to is not removed" % held.link
    if use.declared and held.current:
        return "declared", "the host file declares it for a slot"
    if not held.current:
        return "old", "no entry uses this revision"
    if not use.servable:
        return OTHER, "not a chat model for these runtimes; another program may use it"
    return "unused", "no entry uses it"


_REASONS = {
    "partial": "of an interrupted download",
    "downloading": "a process is writing it",
    "unreferenced": "no snapshot refers to it",
}


def _loose_item(loose: Loose) -> Item:
    return Item(
        repo_id=loose.repo_id,
        revision="",
        path=loose.path,
        size_bytes=loose.size_bytes,
        state=loose.state,
        reason=_REASONS[loose.state],
    )


def bytes_freed(repos: Iterable[Repo], removed: Iterable[str]) -> int:
    """What the removal of these paths frees: a blob that another snapshot uses stays."""
    paths, total = set(removed), 0
    for repo in repos:
        kept = {blob for held in repo.snapshots if held.path not in paths for blob in _ids(held)}
        gone: Dict[FileId, int] = {
            blob: size
            for held in repo.snapshots
            if held.path in paths
            for blob, size in (held.blobs or {}).items()
            if blob not in kept
        }
        total += sum(gone.values())
        total += sum(loose.size_bytes for loose in repo.loose if loose.path in paths)
    return total


def _ids(held: Held) -> Iterable[FileId]:
    return held.blobs or ()
