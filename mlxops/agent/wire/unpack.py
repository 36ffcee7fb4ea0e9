"""Makes the agent out of the bundle, and keeps it on the host. Sent with the bundle, behind the
stub, only where the agent is missing."""

from __future__ import annotations

import io
import os
import stat
import time
from typing import Any, Callable, Dict, List

MAX_AGENTS = 3


def compile_bundle(
    payload: bytes, digest: str, refuse: Callable[[int, str], Exception]
) -> Dict[str, bytes]:
    """The bytecode of a bundle by relative path, marshalled; raises `refuse(exit status, text)`."""
    import marshal

    files = verified_files(payload, digest, refuse)
    try:
        return {
            path: marshal.dumps(compile(source, path, "exec", dont_inherit=True))
            for path, source in files.items()
        }
    except (SyntaxError, ValueError) as exc:
        raise refuse(74, "the agent does not load: %s: %s" % (type(exc).__name__, exc)) from None


def cache_image(image: bytes, root: str, name: str) -> str:
    """Put the image into its folder, whole or not at all, and forget old agents; why it cannot be
    kept, or nothing.

    Who else keeps the same at the same time is no trouble: both files are the same."""
    agents = os.path.dirname(root)
    try:
        for folder in (os.path.dirname(agents), agents, root):
            os.makedirs(folder, 0o700, exist_ok=True)
        write_file(
            image,
            os.path.join(agents, ".%d-%s" % (os.getpid(), os.urandom(6).hex())),
            os.path.join(root, name),
        )
        prune(root)
    except OSError as exc:
        return "cannot write to %s: %s" % (agents, exc.strerror or exc)
    return ""


def write_file(content: bytes, draft: str, path: str) -> None:
    """The file, durable under its draft's name before it gets its own."""
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        if os.path.isdir(path):
            remove(path)
        os.replace(draft, path)
    finally:
        remove(draft)


def verified_files(
    payload: bytes, digest: str, refuse: Callable[[int, str], Exception]
) -> Dict[str, bytes]:
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


def prune(root: str) -> None:
    """Keep the agent of `root` and those last used. A process that runs one needs no file of it any
    more.

    A date ahead of the clock is none that can be believed: it counts as the oldest."""
    folders = [
        entry for entry in os.scandir(os.path.dirname(root)) if entry.is_dir(follow_symlinks=False)
    ]
    now = time.time() + 1
    others = [entry for entry in folders if entry.name != os.path.basename(root)]
    others.sort(
        key=lambda entry: (last_used(entry) <= now, -abs(now - last_used(entry))), reverse=True
    )
    for entry in others[MAX_AGENTS - 1 :]:
        remove(entry.path)


def last_used(entry: Any) -> float:
    """When it was last used; now, where somebody who installs the same has just renamed it."""
    try:
        moment: float = entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return time.time()
    return moment


def remove(path: str) -> None:
    """The file, or the folder and all below it, if it is there; what cannot be removed stays."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        names: List[str] = os.listdir(path)
        for name in names:
            remove(os.path.join(path, name))
        os.rmdir(path)
    except OSError:
        return
