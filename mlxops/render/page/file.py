"""The page as a file: written in one step, and never over a file that is not such a page."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from ...agent.errors import Failed
from .document import START


def write_page(path: Path, page: str, force: bool) -> int:
    """Write the page; return its size in bytes. Failed if another file is there, unless `force`."""
    check_page_file(path, force)
    content = page.encode("utf-8", "replace")
    try:
        fd, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(fd, "wb") as file:
                os.fchmod(fd, _mode(path))
                file.write(content)
                file.flush()
                os.fsync(fd)
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    return len(content)


def check_page_file(path: Path, force: bool) -> None:
    """Failed if the page cannot be written there, before anything is asked of the host."""
    if str(path) == "-":
        raise Failed("the page is written to a file, not to -", "mlxops history --html studio.html")
    try:
        was = os.stat(path)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Failed(
                f"the folder {path.parent} does not exist", f"mkdir -p {path.parent}"
            ) from None
        return
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    if not stat.S_ISREG(was.st_mode):
        raise Failed(f"{path} is not a regular file", "give the name of a file to write")
    if not force and was.st_size and not _is_ours(path):
        raise Failed(
            f"{path} exists and is not a page of mlxops history",
            "give another name, or overwrite it with --force",
            path=str(path),
        )


def _unwritable(path: Path, exc: OSError) -> Failed:
    return Failed(
        f"cannot write {path}: {exc.strerror or exc}", "give another FILE", path=str(path)
    )


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(START)) == START.encode()
    except OSError:
        return False


def _mode(path: Path) -> int:
    """That of the file it replaces, else as the umask has it."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
