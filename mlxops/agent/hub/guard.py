"""Check the Hub's answer about each file against its listing, before and during the download.

Runs with child.py under the host's own huggingface_hub, which uses the ETag and the commit of an
answer as paths."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple
from urllib.parse import urlsplit

POLL_INTERVAL_S = 0.1
# The limit of models/files.py.
MAX_CONFIG_BYTES = 8 << 20
# The listing of a repository with a thousand files has 300 kB.
MAX_LISTING_BYTES, MAX_FILES = 32 << 20, 20_000
COMMIT = re.compile(r"[0-9a-f]{40}")
BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Mismatch(Exception):
    """An answer of the Hub that contradicts its listing."""


class MissingFile(Exception):
    """A file that the Hub lists but does not have."""


class TooLarge(Exception):
    """A file that is too large to be read."""


class Expected(NamedTuple):
    """A file in the listing. `blob`: the id of its content, "" if the listing has none."""

    path: str
    size: int
    blob: str
    revision: str


class DiskReserve:
    """Keeps `spare_bytes` free on the disk of the cache."""

    def __init__(self, place: str, spare_bytes: int) -> None:
        self.place, self.spare_bytes = place, spare_bytes

    def need(self, size: int = 0) -> None:
        """OSError, as for a full disk, if writing `size` bytes would leave less than the
        reserve."""
        place = self.place
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        disk = os.statvfs(place)
        if disk.f_bavail * disk.f_frsize - size < self.spare_bytes:
            text = "less than %.1f GB would stay free" % (self.spare_bytes / 1e9)
            raise OSError(errno.ENOSPC, text, place)


class BoundedFile:
    """A file that accepts no more than the listed size; otherwise the wrapped file."""

    def __init__(self, file: Any, expected: Expected, room: DiskReserve) -> None:
        self._file, self._expected, self._room = file, expected, room

    def write(self, piece: Any) -> Any:
        if self._file.tell() + len(piece) > self._expected.size:
            raise Mismatch("%s has more than the %d bytes of the listing" % self._expected[:2])
        self._room.need(len(piece))
        return self._file.write(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Guard:
    """Wraps two functions of huggingface_hub.file_download, for every thread that fetches a
    file."""

    def __init__(self, room: DiskReserve) -> None:
        self._room = room
        self._now = threading.local()

    def install(self) -> None:
        """Mismatch if this huggingface_hub has no such functions: then nothing can be checked."""
        from huggingface_hub import file_download as module

        for name, guarded in (("get_hf_file_metadata", self._checked), ("http_get", self._bounded)):
            if not callable(getattr(module, name, None)):
                raise Mismatch(
                    "answers to this version of huggingface_hub cannot be checked (no %s)" % name
                )
            setattr(module, name, guarded(getattr(module, name)))

    def expect(self, expected: Expected) -> None:
        """Set the file that this thread fetches next."""
        self._now.file = expected

    def _checked(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def ask_and_check(*args: Any, **more: Any) -> Any:
            try:
                metadata = ask(*args, **more)
            except Exception as exc:
                # huggingface_hub would record the absence under the commit in the answer.
                if "EntryNotFound" in type(exc).__name__:
                    raise MissingFile(str(exc)) from exc
                raise
            expected = getattr(self._now, "file", None)
            if expected is not None:
                check_metadata(expected, metadata)
            return metadata

        return ask_and_check

    def _bounded(self, get: Callable[..., Any]) -> Callable[..., Any]:
        def got(url: str, temp_file: Any, *args: Any, **more: Any) -> Any:
            expected = getattr(self._now, "file", None)
            if expected is not None and not isinstance(temp_file, BoundedFile):
                temp_file = BoundedFile(temp_file, expected, self._room)
            return get(url, temp_file, *args, **more)

        return got


def check_metadata(expected: Expected, metadata: Any) -> None:
    """Lie where a file's own answer differs from the listing, or names what cannot be a name in the
    cache."""
    etag, size = metadata.etag or "", metadata.size
    if metadata.commit_hash != expected.revision:
        raise Mismatch("%s has commit %.80r in the answer" % (expected.path, metadata.commit_hash))
    if etag != (expected.blob or etag) or not BLOB.fullmatch(etag):
        raise Mismatch(
            "%s has the ETag %.80r, but %.80r in the listing" % (expected.path, etag, expected.blob)
        )
    if size is not None and size != expected.size:
        raise Mismatch(
            "%s has %s bytes, but %d in the listing" % (expected.path, size, expected.size)
        )
    if urlsplit(metadata.location or "").scheme not in ("http", "https"):
        raise Mismatch("%s has the location %.80r" % (expected.path, metadata.location))


def watch(room: DiskReserve, blobs: str, largest: int, failed: Callable[[Exception], None]) -> None:
    """Watch the disk and the growing files in a thread; call `failed`, which ends the process."""

    def check() -> None:
        room.need()
        for name in os.listdir(blobs) if os.path.isdir(blobs) else ():
            if name.endswith(".incomplete") and _size(os.path.join(blobs, name)) > largest:
                raise Mismatch(
                    "a file has more than the %d bytes of the largest in the listing" % largest
                )

    def run() -> None:
        while True:
            try:
                check()
            except Exception as exc:
                failed(exc)
            time.sleep(POLL_INTERVAL_S)

    threading.Thread(target=run, daemon=True).start()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def remove_partial(blobs: str, blob: str) -> None:
    """Remove the parts of a file that did not match, so that they are not resumed."""
    for name in os.listdir(blobs) if blob and os.path.isdir(blobs) else ():
        if name.startswith(blob) and name.endswith(".incomplete"):
            os.unlink(os.path.join(blobs, name))


def listed_file(fields: Mapping[str, Any]) -> List[Any]:
    """Name, bytes (None if not given) and content id ("" if not given) of a file in the listing."""
    lfs = fields.get("lfs")
    blob = (lfs.get("sha256") or lfs.get("oid")) if isinstance(lfs, dict) else fields.get("blobId")
    return [fields["rfilename"], fields.get("size"), blob if isinstance(blob, str) else ""]


class BoundedBuffer(io.BytesIO):
    """A file in memory with a maximum size."""

    def __init__(self, name: str, largest: int) -> None:
        super().__init__()
        self.what, self.largest = name, largest

    def write(self, piece: Any) -> int:
        if self.tell() + len(piece) > self.largest:
            raise TooLarge("%s has more than %d bytes" % (self.what, self.largest))
        return super().write(piece)


def fetch_text(url: str, name: str, largest: int) -> str:
    """Fetch a text from the Hub into memory."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined, unused-ignore]

    buffer = BoundedBuffer(name, largest)
    http_get(url, buffer, headers=build_hf_headers(library_name="mlxops"), displayed_filename=name)
    return buffer.getvalue().decode("utf-8", "replace")


def _names_files(siblings: Any) -> bool:
    return isinstance(siblings, list) and all(
        isinstance(one, dict) and isinstance(one.get("rfilename"), str) for one in siblings
    )


def fetch_listing(request: Mapping[str, Any]) -> Dict[str, Any]:
    """The answer that HfApi.model_info requests, with a maximum length."""
    from urllib.parse import quote

    from huggingface_hub import constants

    place = "/api/models/%s/revision/%s?blobs=true" % (
        request["repo_id"],
        quote(request["revision"], safe=""),
    )
    text = fetch_text(constants.ENDPOINT + place, "its list of files", MAX_LISTING_BYTES)
    try:
        listing = json.loads(text)
    except (ValueError, RecursionError):
        listing = None
    if not isinstance(listing, dict) or not _names_files(listing.get("siblings") or []):
        raise Mismatch("its list of files is not valid")
    if not COMMIT.fullmatch(str(listing.get("sha"))):
        raise Mismatch("its list of files has no valid commit: %.80r" % listing.get("sha"))
    if len(listing.get("siblings") or []) > MAX_FILES:
        raise TooLarge("it has more than %d files" % MAX_FILES)
    return listing
