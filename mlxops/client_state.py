"""Small JSON files that this account keeps between commands. Nothing fails without them: a file
that is missing, broken or not this account's counts as absent."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from .hosts.folders import home

MAX_FILE_BYTES = 4 << 20


def folder() -> Path | None:
    """`mlxops` in XDG_STATE_HOME, else in ~/.local/state; None without a home."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(state) / "mlxops"
    at = home()
    return at / ".local/state/mlxops" if at else None


def read_json(name: str) -> Any:
    """The value of a file; None if there is none that can be used."""
    where = folder()
    if where is None:
        return None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads(_read(where / name))
    return None


def _read(path: Path) -> bytes:
    """The content of this account's regular file; else OSError or ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        was = os.fstat(fd)
        if not stat.S_ISREG(was.st_mode) or was.st_uid != os.geteuid():
            raise ValueError("not a file of this account")
        return os.read(fd, MAX_FILE_BYTES)
    finally:
        os.close(fd)


def write_json(name: str, value: Any) -> None:
    """Replace a file in one step, readable by this account only. A failure is ignored."""
    where = folder()
    if where is None:
        return
    with contextlib.suppress(OSError):
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_json(where / name, value)


def replace_json(path: Path, value: Any) -> None:
    """Replace a file of this account in one step; OSError if that fails."""
    import tempfile  # it takes longer than reading the file does

    fd, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with open(fd, "w") as file:
            json.dump(value, file)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
