"""Brings a repository's files into the cache: what there is to fetch, whether it fits, and the download itself."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from ..errors import Failed, MlxopsError, ModelGated, ModelUnknown, NotDownloadable, NotEnoughDisk, Usage
from ..models.cache import inspect, repo_folder, spelled
from ..models.files import as_object, plain, wanted
from ..models.location import same_repo, target
from ..models.wholeness import faults, lacking
from .interpreter import interpreter
from .leftovers import sweep

__all__ = ["Remote", "check_disk", "check_whole", "describe", "download", "interpreter", "size_text"]

# Tries in a row without a byte of progress. The pauses double, up to 30 s: together a minute of outage.
TRIES = 8
FIRST_DELAY_S = 0.5
_TRIES_TO_DESCRIBE = 3
_SPARE_BYTES = 1 << 30
_ABSURD_BYTES = 1 << 60
# huggingface_hub takes any other word for a branch, and writes a ref of that name.
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

OnProgress = Callable[[int, int, str], None]


class Remote(NamedTuple):
    """What a download would fetch. `asked` is the branch, tag or commit asked for, `revision` the commit it names now;
    `files` are (path, bytes) of what a server needs; `missing_bytes` is what is not on disk yet; `config` is its
    config.json, {} when that is none; `blobs` the id of each file's content, as the Hub lists it."""

    repo_id: str
    revision: str
    files: Tuple[Tuple[str, int], ...]
    size_bytes: int
    missing_bytes: int
    gated: bool
    asked: str = "main"
    config: Mapping[str, Any] = {}
    blobs: Mapping[str, str] = {}

    def record(self) -> Dict[str, Any]:
        """For programs, and for whoever shows it."""
        sizes = {"size_bytes": self.size_bytes, "missing_bytes": self.missing_bytes}
        return {"repo_id": self.repo_id, "revision": self.revision, **sizes}

    @property
    def weights_bytes(self) -> int:
        return sum(size for path, size in self.files if path.endswith(".safetensors"))


class _Meaning(NamedTuple):
    cls: Type[MlxopsError]
    message: str
    hint: str


_MEANINGS: Mapping[str, _Meaning] = {
    "gated": _Meaning(ModelGated, "{repo} is gated and this host may not download it",
                      "accept its terms at https://huggingface.co/{repo}, then run `hf auth login` on the host"),
    "unknown": _Meaning(ModelUnknown, "{repo} is not a public repository of the Hub",
                        "check the spelling; for a private one run `hf auth login` on the host"),
    "revision": _Meaning(ModelUnknown, "{repo} has no revision {asked}", "leave --revision out, or name a commit"),
    "gone": _Meaning(NotDownloadable, "the Hub lists a file of {repo} that it does not have: {why}",
                     "try another revision, or another repository"),
    "denied": _Meaning(NotDownloadable, "the Hub refused the host's access to {repo}: {why}",
                       "run `hf auth login` on the host, or correct HF_TOKEN there"),
    "offline": _Meaning(NotDownloadable, "the host's own environment sets HF_HUB_OFFLINE, so nothing is downloaded",
                        "unset HF_HUB_OFFLINE on the host; in the host file's runtime env it does no harm"),
    "lie": _Meaning(NotDownloadable, "the Hub's answers about {repo} contradict each other: {why}",
                    "check HF_ENDPOINT on the host; what came of it was not kept"),
    "odd": _Meaning(NotDownloadable, "{repo} is no model as servers know it: {why}", "another repository"),
    "disk": _Meaning(NotEnoughDisk, "the disk of the cache filled up while downloading {repo}: {why}",
                     "free some space on the host and run the same command again{resumes}"),
    "folder": _Meaning(NotDownloadable, "the cache cannot be written: {why}",
                       "check the owner and mode of {cache_dir} on the host"),
    "network": _Meaning(NotDownloadable, "the Hub could not be reached or broke off: {why}",
                        "check the host's network, or HF_ENDPOINT, and run the same command again{resumes}"),
    "other": _Meaning(NotDownloadable, "{repo} could not be downloaded: {why}",
                      "run the same command again{resumes}"),
}


def _refused(record: Dict[str, Any], request: Mapping[str, Any]) -> MlxopsError:
    meaning = _MEANINGS.get(str(record.get("failed")), _MEANINGS["other"])
    why = str(record.get("message", ""))
    words = {"repo": request["repo_id"], "asked": request["asked"], "why": why, "cache_dir": request["cache_dir"],
             "resumes": ": it resumes" if request["do"] == "download" else ""}
    return meaning.cls(meaning.message.format(**words), meaning.hint.format(**words),
                       repo_id=request["repo_id"], reason=str(record.get("failed")), detail=why)


def _ask(python: Sequence[str], request: Dict[str, Any], on_event: Callable[[Dict[str, Any]], None],
         cancelled: Callable[[], bool]) -> Dict[str, Any]:
    from .process import ask
    record = ask(python, request, on_event, cancelled)
    answer = record.get("result")
    if not isinstance(answer, dict):
        raise _refused(record, request)
    return answer


def _checked_name(repo_id: str) -> str:
    allowed = all(c.isascii() and (c.isalnum() or c in "._-/") for c in repo_id)
    if repo_id.count("/") != 1 or not allowed or not repo_folder(repo_id):
        raise Usage("%r is not a repository of the Hub" % repo_id, "write it as org/name")
    return repo_id


def describe(python: Sequence[str], repo_id: str, revision: Optional[str], cache_dir: str,
             cancelled: Callable[[], bool] = lambda: False) -> Remote:
    """What `repo_id` would bring, asked of the Hub; touches nothing on disk.

    Usage for a word that is no org/name; ModelUnknown, ModelGated; NotDownloadable when the Hub cannot be reached or
    the repository holds no model a server could load; Interrupted when `cancelled`.
    """
    asked = revision or "main"
    request = {"do": "describe", "repo_id": _checked_name(repo_id), "revision": asked, "asked": asked,
               "cache_dir": cache_dir, "tries": _TRIES_TO_DESCRIBE, "delay_s": FIRST_DELAY_S}
    answer = _ask(python, request, lambda event: None, cancelled)
    return _remote(repo_id, asked, answer, cache_dir)


def _remote(repo_id: str, asked: str, answer: Mapping[str, Any], cache_dir: str) -> Remote:
    commit = str(answer["revision"])
    if not _COMMIT.fullmatch(commit):
        raise NotDownloadable("the Hub named no usable commit for %s" % repo_id, repo_id=repo_id)
    files = [(path, _size(repo_id, path, size), blob) for path, size, blob in answer["files"] if wanted(path)]
    odd = [path for path, _, blob in files if blob and not _BLOB.fullmatch(blob)]
    if odd:
        raise NotDownloadable("the Hub named no usable content for %s of %s" % (odd[0], repo_id), repo_id=repo_id)
    _refuse_other_formats(repo_id, [path for path, _, _ in files])
    if same_repo(answer.get("id"), repo_id) and not spelled(cache_dir, repo_id):
        repo_id = _checked_name(str(answer["id"]))
    repo = os.path.join(cache_dir, repo_folder(repo_id))
    absent = [size for path, size, blob in files if not _on_disk(repo, commit, path, size, blob)]
    return Remote(repo_id, commit, tuple((path, size) for path, size, _ in files), sum(size for _, size, _ in files),
                  sum(absent), bool(answer["gated"]), asked, as_object(str(answer.get("config", "")).encode()),
                  {path: blob for path, _, blob in files})


def _size(repo_id: str, path: str, size: object) -> int:
    """Weights of no bytes would be no weights; an empty __init__.py is fine."""
    least = 1 if path.endswith(".safetensors") else 0
    if type(size) is not int or not least <= size < _ABSURD_BYTES:
        raise NotDownloadable("the Hub named no usable size for %s of %s" % (path, repo_id), repo_id=repo_id)
    return size


def _refuse_other_formats(repo_id: str, paths: Sequence[str]) -> None:
    if "config.json" not in paths or not any(path.endswith(".safetensors") for path in paths):
        raise NotDownloadable("%s holds no MLX model: it has no config.json with safetensors weights" % repo_id,
                              "look for a conversion under mlx-community/", repo_id=repo_id)


def _on_disk(repo: str, commit: str, path: str, size: int, blob: str) -> bool:
    places = [os.path.join(repo, "snapshots", commit, path)]
    if plain(blob) and "/" not in blob:
        places.append(os.path.join(repo, "blobs", blob))
    for place in places:
        try:
            if os.stat(place).st_size == size:
                return True
        except OSError:
            continue
    return False


def check_whole(remote: Remote, force: bool = False) -> None:
    """NotDownloadable where what the Hub lists would be no whole model once it is here; told before the download."""
    lacks = lacking([path for path, _ in remote.files])
    if lacks and not (force and lacks == ("tokenizer.json",)):
        raise NotDownloadable(
            "%s has no %s on the Hub, so it would not be a whole model" % (remote.repo_id, ", ".join(lacks[:5])),
            "try another conversion of this model", repo_id=remote.repo_id, missing=list(lacks))


def size_text(size: int) -> str:
    return "%.1f GB" % (size / 1e9) if size >= 10**9 else "%.1f MB" % (size / 1e6)


def check_disk(remote: Remote, cache_dir: str, spare_bytes: int = _SPARE_BYTES) -> None:
    """NotEnoughDisk unless what is missing fits on the cache's disk and leaves `spare_bytes` free."""
    gone = target(cache_dir, repo_folder(remote.repo_id))
    if gone:
        raise NotDownloadable("%s cannot be downloaded: %s" % (remote.repo_id, gone[0]),
                              "mount its disk, or remove the link", repo_id=remote.repo_id, path=gone[0])
    place = os.path.abspath(cache_dir)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    disk = os.statvfs(place)
    free, needed = disk.f_bavail * disk.f_frsize, remote.missing_bytes + spare_bytes
    if remote.missing_bytes and free < needed:
        raise NotEnoughDisk(
            "%s needs %.1f GB and %.1f GB must stay free, but %s has %.1f GB"
            % (remote.repo_id, remote.missing_bytes / 1e9, spare_bytes / 1e9, place, free / 1e9),
            "remove a snapshot on the host, for example with `hf cache rm`",
            needed_bytes=needed, free_bytes=free, path=place)


def download(python: Sequence[str], remote: Remote, cache_dir: str, on_progress: OnProgress,
             cancelled: Callable[[], bool], tries: int = TRIES, spare_bytes: int = _SPARE_BYTES) -> str:
    """Fetch what is missing of `remote` and return the path of its snapshot, verified complete.

    `on_progress(done, total, file)` in bytes, a few times a second; `done` falls back when a file starts over.
    `spare_bytes` stay free on the disk at every moment.
    Interrupted when `cancelled`; NotEnoughDisk, ModelGated, NotDownloadable; Failed when it is not whole afterwards.
    """
    def on_event(event: Dict[str, Any]) -> None:
        if event["event"] == "progress":
            on_progress(event["done"], remote.size_bytes, event["file"])

    request = {"do": "download", "repo_id": remote.repo_id, "revision": remote.revision, "asked": remote.asked,
               "cache_dir": cache_dir, "files": remote.files, "tries": tries, "delay_s": FIRST_DELAY_S,
               "blobs": remote.blobs, "spare_bytes": spare_bytes, "spoiled": _spoiled(remote, cache_dir)}
    sweep(cache_dir, remote.repo_id)
    try:
        _ask(python, request, on_event, cancelled)
    finally:
        sweep(cache_dir, remote.repo_id)
    try:
        return _settled(remote, cache_dir)
    except OSError as exc:
        raise Failed("%s was downloaded, but %s" % (remote.repo_id, exc),
                     "check the owner and mode of %s on the host" % cache_dir) from exc


def _spoiled(remote: Remote, cache_dir: str) -> List[str]:
    """Files that are there with their full size, and damaged."""
    try:
        path = os.path.join(cache_dir, repo_folder(remote.repo_id), "snapshots", remote.revision)
        return sorted(faults(path, deep=True))
    except OSError:
        return []


def _settled(remote: Remote, cache_dir: str) -> str:
    repo = os.path.join(os.path.abspath(cache_dir), repo_folder(remote.repo_id))
    snapshot = inspect(os.path.join(repo, "snapshots", remote.revision))
    if not snapshot.complete:
        raise Failed("%s came without %s, so it is not a whole model" % (remote.repo_id, ", ".join(snapshot.told)),
                     "the repository itself may be incomplete: look at it on the Hub", missing=list(snapshot.missing))
    if remote.asked != remote.revision and plain(remote.asked):
        _point(os.path.join(repo, "refs", remote.asked), remote.revision)
    return snapshot.path


def _point(ref: str, commit: str) -> None:
    """Only now, so that refs/main never names a snapshot that is still on its way."""
    os.makedirs(os.path.dirname(ref), exist_ok=True)
    draft = "%s.%d" % (ref, os.getpid())
    with open(draft, "w", encoding="ascii") as stream:
        stream.write(commit)
    os.replace(draft, ref)
