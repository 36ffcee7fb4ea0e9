"""Who uses a snapshot: entries, processes, running jobs, the host file."""

from __future__ import annotations

import os
from typing import Any, FrozenSet, Iterable, List, Mapping, NamedTuple, Tuple

from ..context import Context
from ..jobs.reservations import running_jobs
from ..models.cache import file_statuses, repo_of
from ..models.location import folder_identity, same_repo
from ..procs.tree import ancestors
from ..registry.entries import Entry, Registry
from .content import FileId, Held

NONE: FrozenSet[FileId] = frozenset()


class Users(NamedTuple):
    """What may use a snapshot. `words`: (who, word) of every command line and of every running
    job's command; `declared`: repositories of the host file. `files`: those of each entry outside
    of the cache, which may be links to the cache's."""

    entries: Tuple[Entry, ...]
    words: Tuple[Tuple[str, str], ...]
    declared: Tuple[str, ...]
    files: Mapping[str, FrozenSet[FileId]] = {}

    def entries_of(self, held: Held) -> List[str]:
        """The entries that are loaded from the snapshot, or may be."""
        return [
            entry.name
            for entry in self.entries
            if _is_of(entry, held)
            or not self.files.get(entry.name, NONE).isdisjoint(held.blobs or ())
        ]

    def others_of(self, held: Held) -> List[str]:
        """The processes, jobs and arguments of entries that name the snapshot or its
        repository."""
        real = os.path.realpath(held.path)
        who = [user for user, word in self.words if _names(word, held, real)]
        return list(dict.fromkeys(who))

    def is_declared(self, held: Held) -> bool:
        return any(same_repo(repo_id, held.repo_id) for repo_id in self.declared)


def read_users(ctx: Context, registry: Registry) -> Users:
    """Unobservable if the processes cannot be listed."""
    words = [("entry %s" % e.name, word) for e in registry.entries.values() for word in e.args]
    processes = ctx.procs.processes()
    # A local client names what it asks about.
    asking = {os.getpid(), *(one.pid for one in ancestors(processes, os.getpid()))}
    for pid, process in processes.items():
        if pid not in asking:
            words += [("pid %d" % pid, word) for word in process.argv[1:]]
    for port, job in running_jobs(ctx.site.registry).items():
        words += [("job %s" % job.get("job", port), word) for word in _job_words(job)]
    declared = tuple(slot.model for slot in ctx.site.slots.values() if slot.model)
    entries = tuple(registry.entries.values())
    files = {
        e.name: _files(e.cache_path) for e in entries if e.cache_path and not repo_of(e.cache_path)
    }
    return Users(entries, tuple(words), declared, files)


def _files(path: str) -> FrozenSet[FileId]:
    try:
        return frozenset((s.st_dev, s.st_ino) for s in file_statuses(os.path.expanduser(path)))
    except (OSError, ValueError):
        return NONE


def _job_words(job: Mapping[str, Any]) -> Iterable[str]:
    return str(job.get("why") or "").split()


def _is_of(entry: Entry, held: Held) -> bool:
    if entry.cache_path and os.path.isdir(os.path.expanduser(entry.cache_path)):
        return folder_identity(entry.cache_path) == folder_identity(held.path)
    if not same_repo(entry.repo_id, held.repo_id):
        return False
    # Without its folder, the entry is loaded from the snapshot of its revision.
    revision = entry.text("revision")
    return held.current or (bool(revision) and held.revision.startswith(revision or ""))


def _names(word: str, held: Held, real: str) -> bool:
    for value in word.rpartition("=")[2].split(","):
        if same_repo(value, held.repo_id):
            return True
        if value.startswith(("/", "~")):
            path = os.path.realpath(os.path.expanduser(value))
            if path == real or path.startswith(real + os.sep):
                return True
    return False
