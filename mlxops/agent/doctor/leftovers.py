"""Finds what killed commands and downloads left behind."""

from __future__ import annotations

import os
import time
from typing import Iterator, List, Tuple

from ..context import Context
from ..hub.checks import format_size
from ..hub.partial_downloads import RESUMABLE, abandoned_state
from ..jobs.disk_space import PREFIX
from ..jobs.log import MAX_LOGS, old_logs
from ..models import cache as hfcache
from ..registry import copies
from .finding import OK, WARNING, Finding, Fix, join_some

CHECK = "leftovers"
# A younger file may still be in use.
MIN_AGE_S = 3600.0


def leftovers(ctx: Context) -> Iterator[Finding]:
    rows = [*_drafts(ctx), *_logs(ctx), *_downloads(ctx)]
    yield from rows or [Finding(CHECK, OK, "none")]


def _drafts(ctx: Context) -> Iterator[Finding]:
    """Find files and folders that were to be renamed once complete."""
    state, registry = ctx.site.state_dir, ctx.site.registry
    paths = [registry + ".tmp", *copies.abandoned_drafts(registry)]
    paths += [path for path in _within(state) if os.path.basename(path).startswith(".try-")]
    for folder in ("help", "run"):
        paths += [path for path in _within(os.path.join(state, folder)) if path.endswith(".tmp")]
    places = (os.path.dirname(registry), os.path.join(state, "logs"))
    paths += [
        path for place in places for path in _within(place) if PREFIX in os.path.basename(path)
    ]
    paths += [
        path
        for path in _within(os.path.join(state, "agent"))
        if os.path.basename(path).startswith(".")
    ]
    paths += [
        path for path in _within(os.path.join(state, "authorized")) if "." in os.path.basename(path)
    ]
    old = [path for path in paths if _age_s(path) > MIN_AGE_S]
    if old:
        yield _removable("unfinished: %s" % join_some(old), old)


def _logs(ctx: Context) -> Iterator[Finding]:
    folder = os.path.join(ctx.site.state_dir, "jobs")
    old = [os.path.join(folder, name) for name in old_logs(folder)]
    if old:
        yield _removable("%d job logs more than the %d that are kept" % (len(old), MAX_LOGS), old)


def _removable(detail: str, paths: List[str]) -> Finding:
    return Finding(
        CHECK, WARNING, detail, fixes=tuple(Fix("remove", path, "left over") for path in paths)
    )


def _downloads(ctx: Context) -> Iterator[Finding]:
    """Find parts of downloads. Those that cannot be resumed can be removed; a later download
    continues the others."""
    blobs = [path for root in hfcache.roots(ctx.site.hf_home) for path in _incomplete(root)]
    lost = [path for path, resumable in blobs if not resumable]
    rest = [path for path, resumable in blobs if resumable]
    if lost:
        yield _removable(
            "%s of downloads that cannot be resumed: %s" % (_weight(lost), join_some(lost)), lost
        )
    if rest:
        detail = "%s of interrupted downloads: %s" % (_weight(rest), join_some(rest))
        yield Finding(
            CHECK,
            WARNING,
            detail,
            "mlxops pull REPO to resume, or mlxops disk --prune",
        )


def _incomplete(root: str) -> Iterator[Tuple[str, bool]]:
    """Old parts of downloads under a cache root that no process is writing, each with whether it
    can be resumed."""
    for repo in _within(root):
        for path in _within(os.path.join(repo, "blobs")):
            state = abandoned_state(path)
            if state is not None and _age_s(path) > MIN_AGE_S:
                yield path, state == RESUMABLE


def _within(folder: str) -> List[str]:
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age_s(path: str) -> float:
    """Seconds since the file was written; 0 if it is gone."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _weight(paths: List[str]) -> str:
    return format_size(sum(os.lstat(path).st_size for path in paths))
