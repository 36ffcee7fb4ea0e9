"""Carries out the safe steps of doctor --fix."""

from __future__ import annotations

import os
from typing import Any, Dict

from ..logs.size import truncate
from .finding import Fix

OWNER_ONLY = 0o700


def apply_fix(fix: Fix, dry: bool) -> Dict[str, Any]:
    """Take the step unless `dry`, and return its row; `error`: why it failed."""
    error = None
    if not dry:
        try:
            _STEPS[fix.action](fix.path)
        except OSError as exc:
            error = exc.strerror or str(exc)
    return {**fix._asdict(), "applied": not dry and error is None, "error": error}


def _make(path: str) -> None:
    os.makedirs(path, OWNER_ONLY, exist_ok=True)


def _close(folder: str) -> None:
    # Through a descriptor: refuse a link that replaced the folder in the meantime.
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(fd, OWNER_ONLY)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
    else:
        os.unlink(path)


def _cut(path: str) -> None:
    truncate(path)


_STEPS = {"mkdir": _make, "chmod": _close, "remove": _remove, "cut": _cut}
