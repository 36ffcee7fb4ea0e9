"""Checks before a download: whether the model would be complete, and whether the disk has space."""

from __future__ import annotations

import os

from ..errors import NotDownloadable, NotEnoughDisk
from ..models.cache import matching_folders
from ..models.completeness import ABSENT, missing_files
from ..models.location import broken_links
from .remote import Remote

SPARE_BYTES = 1 << 30


def check_complete(remote: Remote) -> None:
    """NotDownloadable if the files on the Hub do not make a complete model."""
    lacks = missing_files([path for path, _ in remote.files])
    if lacks:
        first = next((why for why in lacks.values() if why != ABSENT), "")
        raise NotDownloadable(
            "%s has no %s on the Hub, so it is not a complete model%s"
            % (remote.repo_id, ", ".join(sorted(lacks)[:5]), first[len(ABSENT) :]),
            "try another conversion of this model; load with --force downloads it anyway",
            repo_id=remote.repo_id,
            missing=sorted(lacks),
        )


def format_size(size: int) -> str:
    """The size of files, in decimal units as on the Hub; memory is in GiB."""
    if size < 10**6:
        return "%.1f kB" % (size / 1e3)
    return "%.1f GB" % (size / 1e9) if size >= 10**9 else "%.1f MB" % (size / 1e6)


def check_links(cache_dir: str, repo_id: str) -> None:
    """NotDownloadable if the folder of the repository in the cache has broken links."""
    for folder in matching_folders(cache_dir, repo_id):
        for gone in broken_links(cache_dir, folder):
            raise NotDownloadable(
                "%s cannot be downloaded: %s" % (repo_id, gone),
                "mount its disk, or remove the link",
                repo_id=repo_id,
                path=gone,
            )


def check_disk(remote: Remote, cache_dir: str, spare_bytes: int = SPARE_BYTES) -> None:
    """NotEnoughDisk unless the missing files fit on the disk of the cache and leave `spare_bytes`
    free."""
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
