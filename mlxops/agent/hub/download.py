"""Brings a repository's files into the cache: what there is to fetch, whether it fits, and the
download itself."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Type

from ..errors import (
    Failed,
    MlxopsError,
    ModelGated,
    ModelUnknown,
    NotDownloadable,
    NotEnoughDisk,
    Usage,
)
from ..models.cache import matching_folders, repo_folder
from ..models.files import is_needed_file
from ..models.location import same_repo
from ..untrusted import is_safe_relative_path, parse_object
from .checks import SPARE_BYTES, check_complete, check_disk, format_size
from .interpreter import find_interpreter
from .partial_downloads import remove_abandoned
from .remote import Remote
from .snapshot import damaged_files, finish_snapshot

__all__ = [
    "Remote",
    "check_complete",
    "check_disk",
    "describe",
    "download",
    "find_interpreter",
    "format_size",
]

# Tries in a row without a byte of progress. The pauses double, up to 30 s: together a minute of
# outage.
TRIES = 8
FIRST_DELAY_S = 0.5
_TRIES_TO_DESCRIBE = 3
_ABSURD_BYTES = 1 << 60
# huggingface_hub takes any other word for a branch, and writes a ref of that name.
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

OnProgress = Callable[[int, int, str], None]


class _Meaning(NamedTuple):
    cls: Type[MlxopsError]
    message: str
    hint: str


_MEANINGS: Mapping[str, _Meaning] = {
    "gated": _Meaning(
        ModelGated,
        "{repo} is gated and this host may not download it",
        "accept its terms at https://huggingface.co/{repo}, then run `hf auth login` on the host",
    ),
    "unknown": _Meaning(
        ModelUnknown,
        "{repo} is not a public repository of the Hub",
        "check the spelling; for a private one run `hf auth login` on the host",
    ),
    "revision": _Meaning(
        ModelUnknown, "{repo} has no revision {asked}", "leave --revision out, or name a commit"
    ),
    "gone": _Meaning(
        NotDownloadable,
        "the Hub lists a file of {repo} that it does not have: {why}",
        "try another revision, or another repository",
    ),
    "denied": _Meaning(
        NotDownloadable,
        "the Hub refused the host's access to {repo}: {why}",
        "run `hf auth login` on the host, or correct HF_TOKEN there",
    ),
    "offline": _Meaning(
        NotDownloadable,
        "the host's own environment sets HF_HUB_OFFLINE, so nothing is downloaded",
        "unset HF_HUB_OFFLINE on the host; in the host file's runtime env it does no harm",
    ),
    "lie": _Meaning(
        NotDownloadable,
        "the Hub's answers about {repo} contradict each other: {why}",
        "check HF_ENDPOINT on the host; what came of it was not kept",
    ),
    "odd": _Meaning(
        NotDownloadable, "{repo} is no model as servers know it: {why}", "another repository"
    ),
    "disk": _Meaning(
        NotEnoughDisk,
        "the disk of the cache filled up while downloading {repo}: {why}",
        "free some space on the host and run the same command again{resumes}",
    ),
    "folder": _Meaning(
        NotDownloadable,
        "the cache cannot be written: {why}",
        "check the owner and mode of {cache_dir} on the host",
    ),
    "network": _Meaning(
        NotDownloadable,
        "the Hub could not be reached or broke off: {why}",
        "check the host's network, or HF_ENDPOINT, and run the same command again{resumes}",
    ),
    "other": _Meaning(
        NotDownloadable,
        "{repo} could not be downloaded: {why}",
        "run the same command again{resumes}",
    ),
}


def _refused(record: Dict[str, Any], request: Mapping[str, Any]) -> MlxopsError:
    meaning = _MEANINGS.get(str(record.get("failed")), _MEANINGS["other"])
    why = str(record.get("message", ""))
    words = {
        "repo": request["repo_id"],
        "asked": request["asked"],
        "why": why,
        "cache_dir": request["cache_dir"],
        "resumes": ": it resumes" if request["do"] == "download" else "",
    }
    return meaning.cls(
        meaning.message.format(**words),
        meaning.hint.format(**words),
        repo_id=request["repo_id"],
        reason=str(record.get("failed")),
        detail=why,
    )


def _ask(
    python: Sequence[str],
    request: Dict[str, Any],
    on_event: Callable[[Dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> Dict[str, Any]:
    from .process import request_hub

    record = request_hub(python, request, on_event, cancelled)
    answer = record.get("result")
    if not isinstance(answer, dict):
        raise _refused(record, request)
    return answer


def _checked_name(repo_id: str) -> str:
    allowed = all(c.isascii() and (c.isalnum() or c in "._-/") for c in repo_id)
    if repo_id.count("/") != 1 or not allowed or not repo_folder(repo_id):
        raise Usage("%r is not a repository of the Hub" % repo_id, "write it as org/name")
    return repo_id


def describe(
    python: Sequence[str],
    repo_id: str,
    revision: Optional[str],
    cache_dir: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> Remote:
    """What `repo_id` would bring, asked of the Hub; touches nothing on disk.

    Usage for a word that is no org/name; ModelUnknown, ModelGated; NotDownloadable when the Hub
    cannot be reached or the repository holds no model a server could load; Interrupted when
    `cancelled`."""
    asked = revision or "main"
    request = {
        "do": "describe",
        "repo_id": _checked_name(repo_id),
        "revision": asked,
        "asked": asked,
        "cache_dir": cache_dir,
        "tries": _TRIES_TO_DESCRIBE,
        "delay_s": FIRST_DELAY_S,
    }
    answer = _ask(python, request, lambda event: None, cancelled)
    return _remote(repo_id, asked, answer, cache_dir)


def _remote(repo_id: str, asked: str, answer: Mapping[str, Any], cache_dir: str) -> Remote:
    commit = str(answer["revision"])
    if not _COMMIT.fullmatch(commit):
        raise NotDownloadable("the Hub named no usable commit for %s" % repo_id, repo_id=repo_id)
    files = [
        (path, _size(repo_id, path, size), blob)
        for path, size, blob in answer["files"]
        if is_needed_file(path)
    ]
    odd = [path for path, _, blob in files if blob and not _BLOB.fullmatch(blob)]
    if odd:
        raise NotDownloadable(
            "the Hub named no usable content for %s of %s" % (odd[0], repo_id), repo_id=repo_id
        )
    _refuse_other_formats(repo_id, [path for path, _, _ in files])
    if same_repo(answer.get("id"), repo_id) and not matching_folders(cache_dir, repo_id):
        repo_id = _checked_name(str(answer["id"]))
    repo = os.path.join(cache_dir, repo_folder(repo_id))
    absent = [size for path, size, blob in files if not _on_disk(repo, commit, path, size, blob)]
    return Remote(
        repo_id=repo_id,
        revision=commit,
        files=tuple((path, size) for path, size, _ in files),
        size_bytes=sum(size for _, size, _ in files),
        missing_bytes=sum(absent),
        gated=bool(answer["gated"]),
        requested=asked,
        config=parse_object(str(answer.get("config", "")).encode()),
        blobs={path: blob for path, _, blob in files},
    )


def _size(repo_id: str, path: str, size: object) -> int:
    """Weights of no bytes would be no weights; an empty __init__.py is fine."""
    least = 1 if path.endswith(".safetensors") else 0
    if type(size) is not int or not least <= size < _ABSURD_BYTES:
        raise NotDownloadable(
            "the Hub named no usable size for %s of %s" % (path, repo_id), repo_id=repo_id
        )
    return size


def _refuse_other_formats(repo_id: str, paths: Sequence[str]) -> None:
    if "config.json" not in paths or not any(path.endswith(".safetensors") for path in paths):
        raise NotDownloadable(
            "%s holds no MLX model: it has no config.json with safetensors weights" % repo_id,
            "look for a conversion under mlx-community/",
            repo_id=repo_id,
        )


def _on_disk(repo: str, commit: str, path: str, size: int, blob: str) -> bool:
    places = [os.path.join(repo, "snapshots", commit, path)]
    if is_safe_relative_path(blob) and "/" not in blob:
        places.append(os.path.join(repo, "blobs", blob))
    for place in places:
        try:
            if os.stat(place).st_size == size:
                return True
        except OSError:
            continue
    return False


def download(
    python: Sequence[str],
    remote: Remote,
    cache_dir: str,
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
    tries: int = TRIES,
    spare_bytes: int = SPARE_BYTES,
) -> str:
    """Fetch what is missing of `remote` and return the path of its snapshot, verified complete.

    `on_progress(done, total, file)` in bytes, a few times a second; `done` falls back when a file
    starts over. `spare_bytes` stay free on the disk at every moment. Interrupted when `cancelled`;
    NotEnoughDisk, ModelGated, NotDownloadable; Failed when it is not whole afterwards."""

    def on_event(event: Dict[str, Any]) -> None:
        if event["event"] == "progress":
            on_progress(event["done"], remote.size_bytes, event["file"])

    request = {
        "do": "download",
        "repo_id": remote.repo_id,
        "revision": remote.revision,
        "asked": remote.requested,
        "cache_dir": cache_dir,
        "files": remote.files,
        "tries": tries,
        "delay_s": FIRST_DELAY_S,
        "blobs": remote.blobs,
        "spare_bytes": spare_bytes,
        "spoiled": damaged_files(remote, cache_dir),
    }
    remove_abandoned(cache_dir, remote.repo_id)
    try:
        _ask(python, request, on_event, cancelled)
    except NotDownloadable as exc:
        # The child has ended: whatever its other threads had begun lies still.
        remove_abandoned(cache_dir, remote.repo_id, resumable=exc.fields.get("reason") == "lie")
        raise
    finally:
        remove_abandoned(cache_dir, remote.repo_id)
    try:
        return finish_snapshot(remote, cache_dir)
    except OSError as exc:
        raise Failed(
            "%s was downloaded, but %s" % (remote.repo_id, exc),
            "check the owner and mode of %s on the host" % cache_dir,
        ) from exc
