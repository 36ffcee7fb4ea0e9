"""Checks before a download: whether the model would be complete, and whether the disk has space."""

from __future__ import annotations

import os

from ..errors import NotDownloadable, NotEnoughDisk
from ..models.cache import repo_folder
from ..models.completeness import missing_files
from ..models.location import broken_links
from .remote import Remote

SPARE_BYTES = 1 << 30


def check_complete(remote: Remote, force: bool = False) -> None:
    """NotDownloadable if the files on the Hub do not make a complete model."""
    lacks = missing_files([path for path, _ in remote.files])
    if lacks and not (force and lacks == ("tokenizer.json",)):
        raise NotDownloadable(
            "%s has no %s on the Hub, so it is not a complete model"
            % (remote.repo_id, ", ".join(lacks[:5])),
            "try another conversion of this model",
            repo_id=remote.repo_id,
            missing=list(lacks),
        )


def format_size(size: int) -> str:
    """The size of files, in decimal units as on the Hub; memory is in GiB."""
    if size < 10**6:
        return "%.1f kB" % (size / 1e3)
    return "%.1f GB" % (size / 1e9) if size >= 10**9 else "%.1f MB" % (size / 1e6)


def check_disk(remote: Remote, cache_dir: str, spare_bytes: int = SPARE_BYTES) -> None:
    """NotEnoughDisk unless the missing files fit on the disk of the cache and leave `spare_bytes`
    free."""
    gone = broken_links(cache_dir, repo_folder(remote.repo_id))
    if gone:
        raise NotDownloadable(
            "%s cannot be downloaded: %s" % (remote.repo_id, gone[0]),
            "mount its disk, or remove the link",
            repo_id=remote.repo_id,
            path=gone[0],
        )
    place = os.path.abspath(cache_dir)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    disk = os.statvfs(place)
    free, needed = disk.f_bavail * disk.f_frsize, remote.missing_bytes + spare_bytes
    if remote.missing_bytes and free < needed:
        raise NotEnoughDisk(
            "%s needs %s and %s must stay free, but %s has %s"
            % (
                remote.repo_id,
                *map(format_size, (remote.missing_bytes, spare_bytes)),
                place,
                format_size(free),
            ),
            "mlxops disk shows what can be removed",
            needed_bytes=needed,
            free_bytes=free,
            path=place,
        )
