"""Where a model lies, and what is absent on the way to it: a path that is recorded and gone is
never «not downloaded».

Two spellings of one folder (case, links, a trailing slash) are the same place; two spellings of one
repository, which the Hub does not tell apart by case, are the same repository."""

from __future__ import annotations

import os
import stat
from typing import Iterable, Optional, Tuple


def missing_reason(path: str) -> str:
    """The first component of a path that is not there, or the link that leads nowhere; "" for a
    folder that is."""
    path = os.path.abspath(os.path.expanduser(path))
    for part in _prefixes(path):
        try:
            link = stat.S_ISLNK(os.lstat(part).st_mode)
            found = os.stat(part)
        except FileNotFoundError:
            return _gone(part)
        except OSError as exc:
            return "%s cannot be read: %s" % (part, exc.strerror)
        except ValueError:
            return "the path holds a NUL byte"
        if not stat.S_ISDIR(found.st_mode):
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
    # What the link needs first, such as the mount point of a disk.
    deepest = next(
        (p for p in _prefixes(os.path.normpath(target)) if not os.path.lexists(p)), target
    )
    more = "" if deepest == target else " (%s does not exist)" % deepest
    return "%s is a link to %s, which is gone%s" % (part, target, more)


def folder_identity(path: Optional[str], folder: Optional[str] = None) -> str:
    """A folder's identity: the same for every spelling. "" for no path; a relative one needs its
    `folder`.

    What is there is told by device and inode, which also sees through the case of a Mac's usual
    disk."""
    if not path:
        return ""
    path = os.path.expanduser(path)
    if not os.path.isabs(path):
        if not folder:
            return ""
        path = os.path.join(folder, path)
    try:
        found = os.stat(path)
        return "%d:%d" % (found.st_dev, found.st_ino)
    except (OSError, ValueError):
        return os.path.normpath(os.path.realpath(path)) if "\0" not in path else ""


def same_repo(one: Optional[str], other: Optional[str]) -> bool:
    """Whether two words name one repository of the Hub."""
    return bool(one) and bool(other) and str(one).lower() == str(other).lower()


def broken_links(cache_root: str, folder: str) -> Tuple[str, ...]:
    """Links on the way of a download into `folder` of a cache that lead nowhere: no download can go
    through them."""
    found = []
    for name in ("", "blobs", "snapshots", "refs"):
        path = os.path.join(cache_root, folder, name) if name else os.path.join(cache_root, folder)
        if os.path.islink(path) and not os.path.exists(path):
            found.append(_gone(path))
    return tuple(found)
