"""The Hugging Face cache: where the snapshot of a repository is, whether it is complete, and its
size.

Layout (huggingface.co/docs/huggingface_hub, "Understand caching"):
ROOT/models--ORG--NAME/{blobs,refs,snapshots/SHA}. The files of a snapshot are links to blobs.
refs/main names the current snapshot; mtimes do not show it."""

from __future__ import annotations

import os
import stat
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Tuple

from ..errors import EvidenceUnknown, mlxops_command
from .location import (
    broken_links,
    current_revision,
    find_revision,
    same_repo,
    short_revision,
    snapshot_names,
)

_PREFIX = "models--"
_DEEPEST = 6


class Snapshot(NamedTuple):
    """One revision of a repository on disk. `root`: its cache root, "" for a folder outside a
    cache.

    `missing`: the files that are absent or damaged; `faults`: what is wrong with each."""

    repo_id: str
    revision: str
    path: str
    root: str
    size_bytes: Optional[int]
    missing: Tuple[str, ...]
    format: str
    kind: str
    faults: Mapping[str, str] = {}

    @property
    def fault_texts(self) -> Tuple[str, ...]:
        """What is wrong with each missing file, as a sentence."""
        return tuple("%s is %s" % (n, self.faults.get(n, "missing")) for n in self.missing)

    @property
    def complete(self) -> bool:
        return not self.missing


def roots(hf_home: str) -> Tuple[str, ...]:
    """The two folders that may contain the downloads of an HF_HOME: HF_HOME/hub, then HF_HOME."""
    home = os.path.abspath(os.path.expanduser(hf_home))
    return (os.path.join(home, "hub"), home)


def repo_folder(repo_id: str) -> str:
    """The folder name of a repository in a cache root; "" for a word that is not a repository
    id."""
    parts = repo_id.split("/")
    if len(parts) > 2 or any(
        part in ("", ".", "..") or "--" in part or "\0" in part for part in parts
    ):
        return ""
    return _PREFIX + "--".join(parts)


def _repo_id(folder: str) -> str:
    parts = folder[len(_PREFIX) :].split("--")
    named = folder.startswith(_PREFIX) and len(parts) <= 2 and all(parts)
    return "/".join(parts) if named else ""


def repo_of(path: str) -> str:
    """The repository of a snapshot in a cache, links followed; "" for any other path."""
    snapshots = (
        os.path.dirname(os.path.realpath(os.path.expanduser(path))) if os.path.isabs(path) else ""
    )
    return (
        _repo_id(os.path.basename(os.path.dirname(snapshots)))
        if os.path.basename(snapshots) == "snapshots"
        else ""
    )


def inspect(path: str) -> Snapshot:
    """Inspect the model folder at `path`; OSError if it cannot be listed."""
    from . import completeness, kinds
    from . import files as modelfiles

    path = os.path.abspath(os.path.expanduser(path))
    faults = completeness.find_faults(path)
    snapshots, revision = os.path.split(path)
    repo = os.path.dirname(snapshots)
    repo_id = _repo_id(os.path.basename(repo)) if os.path.basename(snapshots) == "snapshots" else ""
    return Snapshot(
        repo_id=repo_id,
        revision=revision if repo_id else "",
        path=path,
        root=os.path.dirname(repo) if repo_id else "",
        size_bytes=size_bytes(path),
        missing=tuple(sorted(faults)),
        format=modelfiles.format_of(path),
        kind=kinds.kind_of(path, repo_id or revision).name,
        faults=faults,
    )


def is_complete(path: str) -> bool:
    """Whether the folder at `path` contains a complete model; False for ""."""
    try:
        return bool(path) and inspect(path).complete
    except OSError:
        return False


def _inspect_or_say_why(repo: str, revision: str) -> Snapshot:
    path = os.path.join(repo, "snapshots", revision)
    try:
        return inspect(path)
    except OSError as exc:
        why = "%s: %s" % (path, exc.strerror or "unreadable")
        root, folder = os.path.split(repo)
        return Snapshot(
            repo_id=_repo_id(folder),
            revision=revision,
            path=path,
            root=root,
            size_bytes=None,
            missing=(why,),
            format="other",
            kind="other",
        )


def _repos(root: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(root))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as exc:
        raise EvidenceUnknown(
            "cannot read the model cache %s: %s" % (root, exc.strerror),
            "check its owner and mode on the host",
            path=root,
        ) from exc
    for name in names:
        if _repo_id(name):
            yield os.path.join(root, name)


def repo_folders(hf_home: str) -> Iterator[str]:
    """The folder of every model repository under both roots; EvidenceUnknown if a root cannot be
    listed."""
    for root in roots(hf_home):
        yield from _repos(root)


def repo_of_folder(folder: str) -> str:
    """The repository whose files a folder of a cache root holds; "" for any other folder."""
    return _repo_id(os.path.basename(folder))


def scan(hf_home: str) -> Tuple[Snapshot, ...]:
    """The current snapshot of every model repository under both roots, complete or not, of any
    format.

    If a snapshot cannot be read, `missing` says why. EvidenceUnknown if a root cannot be listed."""
    snapshots: Dict[str, Snapshot] = {}
    for repo in repo_folders(hf_home):
        revision = current_revision(repo)
        if revision and os.path.realpath(repo) not in snapshots:
            snapshots[os.path.realpath(repo)] = _inspect_or_say_why(repo, revision)
    return tuple(snapshots.values())


def matching_folders(root: str, repo_id: str) -> Tuple[str, ...]:
    """The folders of this repository in a cache root, the exact spelling first.

    The Hub ignores the case of a name. On a case-insensitive disk, only the listing shows how the
    folder is spelled."""
    folder = repo_folder(repo_id)
    try:
        names = (
            [name for name in os.listdir(root) if name.lower() == folder.lower()] if folder else []
        )
    except OSError:
        return ()
    return tuple(sorted(names, key=lambda name: (name != folder, name)))


def name_in_cache(hf_home: str, cache_root: str, repo_id: str) -> str:
    """The repository id as its folder in the cache spells it; as given if it has none."""
    for root in (cache_root, *roots(hf_home)):
        for folder in matching_folders(root, repo_id):
            return _repo_id(folder) or repo_id
    return repo_id


def find(hf_home: str, repo_id: str, revision: Optional[str] = None) -> Optional[Snapshot]:
    """The snapshot of `repo_id` at `revision` (a commit, branch or tag; default refs/main). A
    complete one is preferred."""
    snapshots = []
    for root in roots(hf_home):
        for folder in matching_folders(root, repo_id):
            repo = os.path.join(root, folder)
            commit = find_revision(repo, revision)
            if commit and os.path.isdir(os.path.join(repo, "snapshots", commit)):
                snapshots.append(_inspect_or_say_why(repo, commit))
    return next((s for s in snapshots if s.complete), snapshots[0] if snapshots else None)


def is_own_folder(path: str, repo_id: str) -> bool:
    """Whether a recorded path is another folder than a snapshot of the repository in some cache:
    then no download and no snapshot takes its place, even if it is gone."""
    return bool(path) and not same_repo(repo_of(path), repo_id)


def complete_revisions(repo: str) -> Tuple[Snapshot, ...]:
    """The complete snapshots in a repository's folder."""
    found = (_inspect_or_say_why(repo, name) for name in snapshot_names(repo))
    return tuple(snapshot for snapshot in found if snapshot.complete)


def loadable_revisions(repo: str) -> Tuple[str, ...]:
    """The revisions that a load without one may serve: that of refs/main; if it is missing or
    incomplete, the complete ones as well."""
    main = current_revision(repo)
    if main and is_complete(os.path.join(repo, "snapshots", main)):
        return (main,)
    return tuple({main: None, **{s.revision: None for s in complete_revisions(repo)}})


def other_revisions(hf_home: str, repo_id: str = "") -> Dict[str, Tuple[Snapshot, ...]]:
    """repo_id -> its complete snapshots, for each repository (or this one) whose current one is
    missing or incomplete."""
    others: Dict[str, Dict[str, Snapshot]] = {}
    complete = set()
    for root in roots(hf_home):
        folders = (
            matching_folders(root, repo_id) if repo_id else map(os.path.basename, _repos(root))
        )
        for folder in folders:
            repo, name = os.path.join(root, folder), _repo_id(folder)
            main = current_revision(repo)
            if main and is_complete(os.path.join(repo, "snapshots", main)):
                complete.add(name)
                continue
            for snapshot in complete_revisions(repo):
                others.setdefault(name, {}).setdefault(snapshot.revision, snapshot)
    return {name: tuple(found.values()) for name, found in others.items() if name not in complete}


def load_commands(name: str, port: object, snapshots: Iterable[Snapshot]) -> Tuple[str, ...]:
    """The commands that load these revisions of one repository."""
    names = [snapshot.revision for snapshot in snapshots]
    return tuple(
        mlxops_command("load", name, port, "--revision", short_revision(one, names))
        for one in names
    )


def sibling_snapshot(path: str, repo_id: str, revision: str) -> str:
    """The snapshot of `revision` in the same repository folder, in any cache, as the snapshot at
    `path`; "" if there is none."""
    snapshots = os.path.dirname(os.path.abspath(path)) if os.path.isabs(path) else ""
    repo = os.path.dirname(snapshots)
    if (
        os.path.basename(snapshots) != "snapshots"
        or _repo_id(os.path.basename(repo)).lower() != repo_id.lower()
    ):
        return ""
    commit = find_revision(repo, revision)
    candidate = os.path.join(snapshots, commit)
    return candidate if commit and os.path.isdir(candidate) else ""


def broken_repos(hf_home: str) -> Dict[str, str]:
    """repo_id -> what is missing, of repositories in the cache whose folder or files are broken
    links, such as to a disk that is not mounted."""
    reasons: Dict[str, str] = {}
    for repo in repo_folders(hf_home):
        for why in broken_links(*os.path.split(repo))[:1]:
            reasons.setdefault(repo_of_folder(repo), why)
    return reasons


def broken_repo(hf_home: str, cache_root: str, repo_id: str) -> str:
    """Why the files of a repository in the cache are away; "" if they are not."""
    places = [
        (root, folder)
        for root in dict.fromkeys((cache_root, *roots(hf_home)))
        for folder in matching_folders(root, repo_id)
    ]
    return next((why for place in places for why in broken_links(*place)), "")


def file_statuses(path: str, depth: int = 0) -> Iterator[os.stat_result]:
    """The status of every file of a model folder, links followed; OSError if one of its folders
    cannot be listed."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST:
                    yield from file_statuses(entry.path, depth + 1)
                continue
            try:
                status = entry.stat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield status


def size_bytes(path: str) -> Optional[int]:
    """Bytes of all files of a model folder, each blob counted once; None if it cannot be read."""
    try:
        blobs = {(status.st_dev, status.st_ino): status.st_size for status in file_statuses(path)}
    except (OSError, ValueError):
        return None
    return sum(blobs.values())


def weights_bytes(path: str) -> Optional[int]:
    """Bytes of the weights alone, the least that loading them takes; None if a file is missing."""
    from . import completeness
    from .files import INDEX

    try:
        names = completeness.weight_files(path)
        return (
            None
            if INDEX in names
            else sum(os.stat(os.path.join(path, name)).st_size for name in names)
        )
    except (OSError, ValueError):
        return None
