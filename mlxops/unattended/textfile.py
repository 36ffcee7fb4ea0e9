"""Write a metrics file so that its reader never finds half of one."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from ..agent.errors import Failed

MODE = 0o644


def write(path: Path, text: str) -> None:
    """Replace the file, readable for everyone; Failed if that is not possible.

    The draft does not end with .prom, or the collector would read it as well."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise Failed(f"cannot write {path}: it is not a regular file", f"ls -ld {path}")
        with open(draft, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as exc:
        raise Failed(f"cannot write {path}: {exc.strerror}", f"ls -ld {path.parent}") from None
    finally:
        with suppress(OSError):
            draft.unlink()
