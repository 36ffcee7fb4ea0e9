"""Where a model is, and why its path does not exist. A recorded path that is gone is not the same
as "not downloaded".

Spellings of one folder that differ in case, links or a trailing slash are one folder; spellings of
one repository that differ in case are one repository, as on the Hub."""

from __future__ import annotations

import os
import stat
from typing import Iterable, Optional, Tuple


def missing_reason(path: str) -> str:
    """Why a folder does not exist: the first missing component, or the broken link; "" if it
    does."""
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(path):
        return ""
    for part in _prefixes(path):
        try:
            link = stat.S_ISLNK(os.lstat(part).st_mode)
            status = os.stat(part)
        except FileNotFoundError:
            return _gone(part)
        except OSError as exc:
            return "%s cannot be read: %s" % (part, exc.strerror)
        except ValueError:
            return "the path contains a NUL byte"
        if not stat.S_ISDIR(status.st_mode):
            return "%s is not a folder" % (part + (" (a link)" if link else ""))
    return ""


def _prefixes(path: str) -> Iterable[str]:
    parts = path.split(os.sep)
    return ["/", *(os.sep.join(parts[: n + 1]) for n in range(1, len(parts)) if parts[n])]


def _gone(part: str) -> str:
    try:
        target = os.readlink(part)
    except OSError:
        return "%s does not exist" % part
    target = os.path.join(os.path.dirname(part), target)
    # The first missing folder on the way, such as the mount point of a disk.
    deepest = next(
        (p for p in _prefixes(os.path.normpath(target)) if not os.path.lexists(p)), target
    )
    more = "" if deepest == target else " (%s does not exist)" % deepest
    return "%s is a link to %s, which does not exist%s" % (part, target, more)


def folder_identity(path: Optional[str], folder: Optional[str] = None) -> str:
    """An id of a folder that does not depend on its spelling; "" for no path, and for a relative
    one without its `folder`.

    An existing folder is identified by device and inode, which also covers case-insensitive
    disks."""
    if not path:
        return ""
    path = os.path.expanduser(path)
    if not os.path.isabs(path):
        if not folder:
            return ""
        path = os.path.join(folder, path)
    try:
        status = os.stat(path)
        return "%d:%d" % (status.st_dev, status.st_ino)
    except (OSError, ValueError):
        return os.path.normpath(os.path.realpath(path)) if "\0" not in path else ""


def same_repo(one: Optional[str], other: Optional[str]) -> bool:
    """Whether two ids name the same repository of the Hub."""
    return bool(one) and bool(other) and str(one).lower() == str(other).lower()


def broken_links(cache_root: str, folder: str) -> Tuple[str, ...]:
    """Broken links in `folder` of a cache, through which no download could write."""
    reasons = []
    for name in ("", "blobs", "snapshots", "refs"):
        path = os.path.join(cache_root, folder, name) if name else os.path.join(cache_root, folder)
        if os.path.islink(path) and not os.path.exists(path):
            reasons.append(_gone(path))
    return tuple(reasons)
