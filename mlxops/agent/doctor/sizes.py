"""Reports how much disk space logs, jobs and other files of mlxops use. All of it is bounded."""

from __future__ import annotations

import os
from typing import Iterator, List, Tuple

from ..context import Context
from ..hub.checks import format_size
from ..logs.size import allocated_bytes, large_logs, measure_folder
from .finding import OK, WARNING, Finding, Fix

CHECK = "kept files"
# Subfolders of the state folder, one kind of file each.
KINDS = ("logs", "jobs", "run", "help", "agent", "authorized")
# A log above this size, or above this fraction of the free disk space, is a warning.
LARGE_LOG, PART_OF_FREE = 10**9, 0.05


def sizes(ctx: Context) -> Iterator[Finding]:
    """One row with all sizes, and one for each log that is too large."""
    root = ctx.site.state_dir
    parts = []
    for kind in KINDS:
        weight = measure_folder(os.path.join(root, kind))
        if weight.files:
            parts.append(
                "%s %s (%d file%s)"
                % (kind, format_size(weight.size), weight.files, "" if weight.files == 1 else "s")
            )
    parts += [
        "%s %s" % (os.path.basename(path), format_size(size_bytes))
        for path, size_bytes in _beside_registry(ctx)
    ]
    yield Finding(CHECK, OK, "in %s: %s" % (root, ", ".join(parts) or "nothing"))
    free = _free(root)
    for path, size_bytes in large_logs(root):
        yield _log(path, size_bytes, free)


def _log(path: str, size_bytes: int, free: int) -> Finding:
    fix = Fix("cut", path, "its size is %s" % format_size(size_bytes))
    detail = "the log %s has %s; the next reconcile, load or unload shortens it" % (
        path,
        format_size(size_bytes),
    )
    return Finding(
        CHECK,
        WARNING if size_bytes > LARGE_LOG or size_bytes > free * PART_OF_FREE else OK,
        detail,
        fixes=(fix,),
    )


def _beside_registry(ctx: Context) -> List[Tuple[str, int]]:
    """The history files beside the registry."""
    history = ctx.store.history
    return [
        (path, allocated_bytes(os.stat(path)))
        for path in (history, history + ".1")
        if os.path.isfile(path)
    ]


def _free(folder: str) -> int:
    """Bytes free on its disk; a huge number if unknown, so that no log counts as large."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return 1 << 62
    return room.f_bavail * room.f_frsize
