"""Compiles the agent from its bundle and caches it on the host. Sent with the bundle, only if the
agent is missing."""

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
    """The marshalled bytecode of a bundle by relative path; raises `refuse(exit status, text)`."""
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
    """Write the image into its folder atomically and remove old agents. Returns why that failed, or
    "".

    Another call may do the same at the same time: both files are the same."""
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
    """Write a file durably under the draft's name, then rename it."""
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
    """The files of a bundle by relative path, checked against its hash."""
    import hashlib
    import zlib

    try:
        text = expand(payload)
    except zlib.error as exc:
        raise refuse(73, "the bundle arrived damaged: %s" % exc) from None
    if hashlib.sha256(text).hexdigest() != digest:
        raise refuse(73, "the bundle arrived damaged: its hash is not %s" % digest)
    return split(text)


def split(text: bytes) -> Dict[str, bytes]:
    """Source by path, from pairs of frames."""
    stream = io.BytesIO(text)
    frames = [stream.read(int(size)) for size in iter(stream.readline, b"")]
    return {path.decode("utf-8"): source for path, source in zip(frames[::2], frames[1::2])}


def expand(payload: bytes) -> bytes:
    """The text of a bundle as `Bundle.compressed` made it."""
    import zlib

    return zlib.decompress(payload).replace(b"\t", b"    ")


def prune(root: str) -> None:
    """Remove all agents but that of `root` and the last used ones. A running agent no longer needs
    its file.

    A date in the future counts as the oldest."""
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
    """When it was last used; now, if another install has just renamed it."""
    try:
        moment: float = entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return time.time()
    return moment


def remove(path: str) -> None:
    """Remove a file or a folder tree, as far as possible."""
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
