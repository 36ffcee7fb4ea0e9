"""Checks of the state folder and of the shared folders: they exist, with the right owner and
mode."""

from __future__ import annotations

import os
import shlex
import stat
from typing import Iterator, Optional

from ..context import Context
from .finding import ERROR, OK, WARNING, Finding, Fix

CHECK = "state folder"
# Created when first needed.
SUBFOLDERS = ("agent", "logs", "jobs", "run", "help")
PROBE_BYTES = 1 << 16
NEEDS_OWN_FOLDER = "set state_dir under [studio] in the host file to a folder of its own"


def state(ctx: Context) -> Iterator[Finding]:
    """Check the state folder and its subfolders, which belong to this user only."""
    root = ctx.site.state_dir
    missing, faults = [], 0
    for path in (root, *(os.path.join(root, name) for name in SUBFOLDERS)):
        try:
            fault = folder_fault(path, os.lstat(path), os.geteuid())
        except FileNotFoundError:
            missing.append(path)
            continue
        if fault is not None:
            faults += 1
            yield (
                fault
                if path != root or _lone(ctx)
                else fault._replace(fix=NEEDS_OWN_FOLDER, fixes=())
            )
    why = _tried(root) if root not in missing and not faults else None
    if why:
        faults += 1
        detail = "%s cannot be written: %s" % (root, why)
        yield Finding(CHECK, ERROR, detail, _on_host("df -h %s; df -i %s", root, root))
    if missing:
        names = ", ".join(os.path.basename(path) for path in missing)
        detail = "%s: created when needed: %s" % (root, names)
        yield Finding(
            CHECK, OK, detail, fixes=tuple(Fix("mkdir", path, "missing") for path in missing)
        )
    elif not faults:
        yield Finding(CHECK, OK, "%s is private" % root)


def _tried(root: str) -> Optional[str]:
    """Try to write a file: why that fails, or None. The mode does not show a full disk, a quota or
    a size limit."""
    draft = os.path.join(root, ".try-%d" % os.getpid())
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(fd)
        finally:
            os.unlink(draft)
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


def _lone(ctx: Context) -> bool:
    """Whether the state folder contains nothing that others use, so that making it private is
    safe."""
    root = os.path.realpath(ctx.site.state_dir)
    used = (os.path.expanduser("~"), ctx.site.hf_home, ctx.site.registry)
    return all(os.path.commonpath([root, os.path.realpath(path)]) != root for path in used)


def folder_fault(path: str, was: os.stat_result, uid: int) -> Optional[Finding]:
    """What is wrong with a folder that should belong to this user only; None if nothing is."""
    mode = stat.S_IMODE(was.st_mode)
    if not stat.S_ISDIR(was.st_mode):
        return Finding(
            CHECK,
            ERROR,
            "%s is not a folder, but a link or a file" % path,
            _on_host("mv %s %s.old", path, path),
        )
    if was.st_uid != uid:
        return Finding(
            CHECK, ERROR, "%s belongs to user id %d" % (path, was.st_uid), _chown(path, uid)
        )
    if mode & 0o022:
        return _loose(ERROR, path, "others can write to it (mode %o)" % mode)
    return _loose(WARNING, path, "others can read it (mode %o)" % mode) if mode & 0o055 else None


def _loose(verdict: str, path: str, why: str) -> Finding:
    return Finding(CHECK, verdict, "%s: %s" % (path, why), fixes=(Fix("chmod", path, why),))


def shared_folders(ctx: Context) -> Iterator[Finding]:
    """Check the model cache and the registry's folder. Other tools use them too: doctor never
    creates or changes them."""
    yield check_shared("hf_home", ctx.site.hf_home)
    yield check_shared("registry folder", os.path.dirname(ctx.site.registry))


def check_shared(check: str, path: str) -> Finding:
    try:
        was = os.stat(path)
    except FileNotFoundError:
        return Finding(
            check, ERROR, "%s does not exist" % path, _on_host("mount it, or mkdir -p %s", path)
        )
    if not stat.S_ISDIR(was.st_mode):
        return Finding(
            check, ERROR, "%s is a file" % path, "correct its path under [studio] in the host file"
        )
    mode = stat.S_IMODE(was.st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        detail = "every user can write to %s (mode %o)" % (path, mode)
        return Finding(check, ERROR, detail, _on_host("chmod o-w %s", path))
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(check, ERROR, "%s is not writable" % path, _chown(path, os.geteuid()))
    return Finding(check, OK, "%s is writable (mode %o)" % (path, mode))


def _chown(path: str, uid: int) -> str:
    return _on_host("sudo chown %d %%s" % uid, path)


def _on_host(command: str, *paths: str) -> str:
    return "on the host: " + command % tuple(map(shlex.quote, paths))
