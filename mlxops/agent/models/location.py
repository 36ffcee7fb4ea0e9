"""Where a model is: the snapshot of a revision, and why a path does not exist. A recorded path that
is gone is not the same as "not downloaded".

Spellings of one folder that differ in case, links or a trailing slash are one folder; spellings of
one repository that differ in case are one repository, as on the Hub."""

from __future__ import annotations

import os
import stat
from typing import Iterable, List, Optional, Tuple

from ..untrusted import is_safe_relative_path, read_bounded

# The fewest digits that may abbreviate a commit, and how many are shown.
_SHORTEST, _SHOWN = 7, 8


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


def gone_reason(path: str) -> str:
    """Why a recorded folder or, in a cache, what its links lead to is away; "" if nothing is."""
    gone = missing_reason(path)
    snapshots = os.path.dirname(os.path.abspath(os.path.expanduser(path)))
    if gone or os.path.basename(snapshots) != "snapshots":
        return gone
    blobs = os.path.join(os.path.dirname(snapshots), "blobs")
    return _gone(blobs) if os.path.islink(blobs) and not os.path.exists(blobs) else ""


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
    """Broken links in `folder` of a cache: its files are away, and no download could write."""
    reasons = []
    for name in ("", "blobs", "snapshots", "refs"):
        path = os.path.join(cache_root, folder, name) if name else os.path.join(cache_root, folder)
        if os.path.islink(path) and not os.path.exists(path):
            reasons.append(_gone(path))
    return tuple(reasons)


def snapshot_names(repo: str) -> List[str]:
    """The revisions in a repository's folder, sorted; [] if it has none or cannot be listed."""
    try:
        with os.scandir(os.path.join(repo, "snapshots")) as found:
            return sorted(entry.name for entry in found if entry.is_dir())
    except OSError:
        return []


def current_revision(repo: str) -> str:
    """The revision that refs/main names; without refs/main (after a pinned download) the only
    snapshot; else ""."""
    ref = os.path.join(repo, "refs", "main")
    if os.path.lexists(ref):
        return _word(ref)
    names = snapshot_names(repo)
    return names[0] if len(names) == 1 else ""


def find_revision(repo: str, revision: Optional[str]) -> str:
    """The commit of a branch, a tag, a commit or the first digits of one; "" if it is not here. A
    prefix of several commits is none of them."""
    if revision is None:
        return current_revision(repo)
    if not is_safe_relative_path(revision):
        return ""
    if "/" not in revision and os.path.isdir(os.path.join(repo, "snapshots", revision)):
        return revision
    matches = matching_revisions(repo, revision)
    return matches[0] if len(matches) == 1 else _word(os.path.join(repo, "refs", revision))


def matching_revisions(repo: str, prefix: str) -> List[str]:
    """The commits in a repository's folder that begin with these hexadecimal digits."""
    prefix = prefix.lower()
    if len(prefix) < _SHORTEST or not all(c in "0123456789abcdef" for c in prefix):
        return []
    return [name for name in snapshot_names(repo) if name.startswith(prefix)]


def short_revision(revision: str, others: Iterable[str] = ()) -> str:
    """The first digits of a commit, enough to tell it from the others."""
    length = _SHOWN
    while any(o != revision and o[:length] == revision[:length] for o in others):
        length += 1
    return revision[:length]


def _word(path: str) -> str:
    """The word in a ref file; "" if there is none, or if it would lead out of `snapshots`."""
    word = (read_bounded(path, 256) or b"").decode("utf-8", "replace").strip()
    return word if is_safe_relative_path(word) and "/" not in word else ""
