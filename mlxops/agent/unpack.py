"""Puts the agent into its place on the host. Sent with the bundle, behind the stub, only where it is missing."""

from __future__ import annotations

import io
import os
import stat
import time
from typing import Any, Callable, Dict, List

KEPT = 3
KEPT_S = 24 * 3600


def install(payload: bytes, root: str, refuse: Callable[[int, str], Exception]) -> None:
    """Unpack the bundle to `root`, whose last part is its hash; raises `refuse(exit status, text)`.

    Whoever else installs the same at the same time is no trouble: the first rename wins, and both are the same bytes.
    """
    files = opened(payload, os.path.basename(root), refuse)
    try:
        write(files, root)
        prune(os.path.dirname(root))
    except OSError as exc:
        raise refuse(72, "cannot write the agent to %s: %s" % (os.path.dirname(root), exc)) from None


def opened(payload: bytes, digest: str, refuse: Callable[[int, str], Exception]) -> Dict[str, bytes]:
    """The files of a bundle by relative path."""
    import hashlib
    import zlib

    try:
        text = zlib.decompress(payload)
    except zlib.error as exc:
        raise refuse(73, "the bundle arrived damaged: %s" % exc) from None
    if hashlib.sha256(text).hexdigest() != digest:
        raise refuse(73, "the bundle arrived damaged: its hash is not %s" % digest)
    return split(text)


def split(text: bytes) -> Dict[str, bytes]:
    """The pairs of frames, path and source."""
    stream = io.BytesIO(text)
    frames = [stream.read(int(size)) for size in iter(stream.readline, b"")]
    return {path.decode("utf-8"): source for path, source in zip(frames[::2], frames[1::2])}


def write(files: Dict[str, bytes], root: str) -> None:
    """The files in a folder of their own, durable, then renamed to `root`; what lay there is replaced if it differs."""
    agents = os.path.dirname(root)
    for folder in (os.path.dirname(agents), agents):
        os.makedirs(folder, 0o700, exist_ok=True)
    fresh = os.path.join(agents, ".%d-%s" % (os.getpid(), os.urandom(6).hex()))
    os.mkdir(fresh, 0o700)
    try:
        for path, source in files.items():
            put(os.path.join(fresh, path), source)
        settle(fresh, root, files)
    finally:
        remove(fresh)


def put(path: str, source: bytes) -> None:
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(source)
        file.flush()
        os.fsync(fd)


def settle(fresh: str, root: str, files: Dict[str, bytes]) -> None:
    """Move the new folder to its name, unless the same is there already."""
    try:
        os.rename(fresh, root)
    except OSError:
        if whole(root, files):
            return
        os.rename(root, fresh + "-old")
        os.rename(fresh, root)
        remove(fresh + "-old")


def whole(root: str, files: Dict[str, bytes]) -> bool:
    try:
        return all(same(os.path.join(root, path), source) for path, source in files.items())
    except OSError:
        return False


def same(path: str, source: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read() == source


def prune(agents: str) -> None:
    """Forget agents that are neither among the last used nor used today: a long load may still import from one."""
    folders = [entry for entry in os.scandir(agents) if entry.is_dir(follow_symlinks=False)]
    folders.sort(key=used, reverse=True)
    for entry in folders[KEPT:]:
        if time.time() - used(entry) > KEPT_S:
            remove(entry.path)


def used(entry: Any) -> float:
    """When it was last used; now, where somebody who installs the same has just renamed it."""
    try:
        moment: float = entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return time.time()
    return moment


def remove(folder: str) -> None:
    """The folder and all below it, if it is there; what cannot be removed stays."""
    try:
        names: List[str] = os.listdir(folder)
        for path in [os.path.join(folder, name) for name in names]:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                remove(path)
            else:
                os.unlink(path)
        os.rmdir(folder)
    except OSError:
        return
