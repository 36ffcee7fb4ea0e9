"""Download the files of a repository into the cache."""

from __future__ import annotations

import os
import re
import socket
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
from ..models.completeness import ABSENT, missing_weights
from ..models.files import is_needed_file
from ..models.location import same_repo
from ..untrusted import is_safe_relative_path, parse_object
from .checks import SPARE_BYTES, check_complete, check_disk, format_size
from .interpreter import find_interpreter
from .partial_downloads import remove_abandoned
from .process import TOKEN_PATH, request_hub
from .remote import Remote
from .snapshot import damaged_files, finish_snapshot

__all__ = [
    "Remote",
    "ask",
    "check_complete",
    "check_disk",
    "describe",
    "download",
    "find_interpreter",
    "format_size",
]

# Tries without progress. The pauses double, up to 30 s: they bridge an outage of about a minute.
TRIES = 8
FIRST_DELAY_S = 0.5
DEFAULT_ENDPOINT = "https://huggingface.co"
_TRIES_TO_DESCRIBE = 3
_ABSURD_BYTES = 1 << 60
# huggingface_hub takes any other word as a branch, and writes a ref of that name.
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
        "accept its terms at https://huggingface.co/{repo}, then {login}",
    ),
    "unknown": _Meaning(
        ModelUnknown,
        "{repo} is not a public repository of the Hub",
        "check the spelling; for a private one {login}",
    ),
    "revision": _Meaning(
        ModelUnknown, "{repo} has no revision {asked}", "omit --revision, or give a commit"
    ),
    "gone": _Meaning(
        NotDownloadable,
        "the Hub lists a file of {repo} that does not exist: {why}",
        "try another revision, or another repository",
    ),
    "denied": _Meaning(
        NotDownloadable,
        "the Hub at {hub} denied {host} access to {repo}: {why}",
        "{login}",
    ),
    "offline": _Meaning(
        NotDownloadable,
        "HF_HUB_OFFLINE is set in the host's login environment, so nothing is downloaded",
        "unset HF_HUB_OFFLINE on the host; setting it in the env of [runtime] is fine",
    ),
    "lie": _Meaning(
        NotDownloadable,
        "the Hub's answers about {repo} contradict each other: {why}",
        "check endpoint under [hub] in the host file; the downloaded parts were discarded",
    ),
    "odd": _Meaning(
        NotDownloadable,
        "{repo} is not a model that this host can serve: {why}",
        "try another repository",
    ),
    "disk": _Meaning(
        NotEnoughDisk,
        "the disk of the cache is full; {repo} was not downloaded: {why}",
        "free space on the host and run the same command again{resumes}",
    ),
    "folder": _Meaning(
        NotDownloadable,
        "cannot write to the cache: {why}",
        "check the owner and mode of {cache_dir} on the host",
    ),
    "network": _Meaning(
        NotDownloadable,
        "{host} cannot reach the Hub at {hub}: {why}",
        "check the network of {host}, or set endpoint under [hub] in the host file; then run the"
        " same command again{resumes}",
    ),
    "answer": _Meaning(
        NotDownloadable,
        "the Hub at {hub} does not serve {repo} to {host}: {why}",
        "check endpoint under [hub] in the host file: it may not be a Hub",
    ),
    "other": _Meaning(
        NotDownloadable,
        "cannot download {repo}: {why}",
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
        "host": socket.gethostname(),
        "hub": os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT,
        "login": _login_hint(),
        "resumes": " (it resumes)" if request["do"] == "download" else "",
    }
    return meaning.cls(
        meaning.message.format(**words),
        meaning.hint.format(**words),
        repo_id=request["repo_id"],
        reason=str(record.get("failed")),
        detail=why,
    )


def _login_hint() -> str:
    """How the host gets a token, or another one."""
    path = os.environ.get(TOKEN_PATH)
    if path:
        return "put a token that may read it into %s on the host" % path
    return "run `hf auth login` on the host, or correct HF_TOKEN there"


def ask(
    python: Sequence[str],
    request: Dict[str, Any],
    on_event: Callable[[Dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> Dict[str, Any]:
    """The answer of one request to the Hub; an MlxopsError for each kind of refusal."""
    record = request_hub(python, request, on_event, cancelled)
    answer = record.get("result")
    if not isinstance(answer, dict):
        raise _refused(record, request)
    return answer


def _checked_name(repo_id: str) -> str:
    allowed = all(c.isascii() and (c.isalnum() or c in "._-/") for c in repo_id)
    if repo_id.count("/") != 1 or not allowed or not repo_folder(repo_id):
        raise Usage("%r is not a repository id" % repo_id, "write it as org/name")
    return repo_id


def describe(
    python: Sequence[str],
    repo_id: str,
    revision: Optional[str],
    cache_dir: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> Remote:
    """Ask the Hub what a download of `repo_id` would fetch; changes nothing on disk.

    Usage for a word that is not org/name; ModelUnknown, ModelGated; NotDownloadable if the Hub
    cannot be reached or the repository has no model that a server can load; Interrupted if
    `cancelled`."""
    revision_name = revision or "main"
    request = {
        "do": "describe",
        "repo_id": _checked_name(repo_id),
        "revision": revision_name,
        "asked": revision_name,
        "cache_dir": cache_dir,
        "tries": _TRIES_TO_DESCRIBE,
        "delay_s": FIRST_DELAY_S,
    }
    answer = ask(python, request, lambda event: None, cancelled)
    return _remote(repo_id, revision_name, answer, cache_dir)


def _remote(repo_id: str, revision_name: str, answer: Mapping[str, Any], cache_dir: str) -> Remote:
    commit = str(answer["revision"])
    if not _COMMIT.fullmatch(commit):
        raise NotDownloadable("the Hub returned no valid commit for %s" % repo_id, repo_id=repo_id)
    files = [
        (path, _size(repo_id, path, size), blob)
        for path, size, blob in answer["files"]
        if is_needed_file(path)
    ]
    odd = [path for path, _, blob in files if blob and not _BLOB.fullmatch(blob)]
    if odd:
        raise NotDownloadable(
            "the Hub returned no valid content id for %s of %s" % (odd[0], repo_id), repo_id=repo_id
        )
    _refuse_other_formats(
        repo_id, [path for path, _, _ in files], [path for path, _, _ in answer["files"]]
    )
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
        requested=revision_name,
        config=parse_object(str(answer.get("config", "")).encode()),
        blobs={path: blob for path, _, blob in files},
    )


def _size(repo_id: str, path: str, size: object) -> int:
    """The size, which may be 0 for other files than weights, such as __init__.py."""
    least = 1 if path.endswith(".safetensors") else 0
    if type(size) is not int or not least <= size < _ABSURD_BYTES:
        raise NotDownloadable(
            "the Hub returned no valid size for %s of %s" % (path, repo_id), repo_id=repo_id
        )
    return size


def _refuse_other_formats(repo_id: str, needed: Sequence[str], names: Sequence[str]) -> None:
    """NotDownloadable for a repository whose needed files make no model. `names`: of all files."""
    if "config.json" in needed and any(path.endswith(".safetensors") for path in needed):
        return
    why = missing_weights(filter(is_safe_relative_path, names))[len(ABSENT) + 2 :]
    raise NotDownloadable(
        "%s is not an MLX model: %s"
        % (repo_id, why or "it has no config.json with safetensors weights"),
        "look for a conversion in mlx-community/",
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
    """Download what is missing of `remote`; return the path of its snapshot, which is complete.

    `on_progress(done, total, file)` in bytes, a few times a second; `done` decreases when a file
    starts over. `spare_bytes` stay free on the disk. Interrupted if `cancelled`; NotEnoughDisk,
    ModelGated, NotDownloadable; Failed if the snapshot is incomplete afterwards."""

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
        ask(python, request, on_event, cancelled)
    except NotDownloadable as exc:
        # The child has ended, so nothing writes to the parts any more.
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
