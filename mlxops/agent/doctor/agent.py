"""Checks of the agent itself: its interpreter, and the folder with its cached copies."""

from __future__ import annotations

import hashlib
import marshal
import os
import shlex
import stat
import sys
import zlib
from typing import Iterator, List, Optional

from ..context import Context
from ..wire.bootstrap import Bundle, pack
from ..wire.stub import unseal
from ..wire.unpack import expand
from .finding import ERROR, OK, WARNING, Finding, Fix

DIGEST_DIGITS = 64
IMAGES = "agent."
# Older versions stored the agent's files here, with the bytecode that Python wrote beside them.
LOOSE = "agent"
PYC_HEADER_BYTES = 16


def interpreter(ctx: Context) -> Iterator[Finding]:
    yield Finding(
        "interpreter", OK, "%s, Python %d.%d.%d" % (sys.executable, *sys.version_info[:3])
    )


def cache(ctx: Context) -> Iterator[Finding]:
    """Check that the agent can be cached, and that each copy has the hash its folder is named
    by."""
    folder = os.path.join(ctx.site.state_dir, "agent")
    unkept = getattr(__spec__.loader, "unkept", "")
    if unkept:
        yield Finding(
            "agent cache",
            WARNING,
            "cannot be written, so the agent is sent with every call: %s" % unkept,
            _room(folder),
        )
    copies = _copies(folder)
    faults = {name: copy_fault(os.path.join(folder, name), name) for name in copies}
    for name, why in faults.items():
        path = os.path.join(folder, name)
        if why:
            fix = "on the host: rm -r %s (it is sent again)" % shlex.quote(path)
            yield Finding(
                check="agent cache",
                verdict=ERROR,
                detail="%s: %s" % (path, why),
                fix=fix,
                fixes=(Fix("remove", path, "damaged"),),
            )
    if not unkept and not any(faults.values()):
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        yield Finding(
            "agent cache",
            OK,
            "%s, mode %o, %s, unchanged"
            % (folder, mode, "1 copy" if len(copies) == 1 else "%d copies" % len(copies)),
        )


def _room(folder: str) -> str:
    """The hint for an agent that cannot be cached; "" if others own the folder, which has a row of
    its own."""
    if getattr(__spec__.loader, "distrust", ""):
        return ""
    return "on the host: df -h %s; df -i %s; ls -ld %s" % (
        (shlex.quote(os.path.dirname(folder)),) * 3
    )


def _copies(folder: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(folder) if len(name) == DIGEST_DIGITS)
    except FileNotFoundError:
        return []


def copy_fault(root: str, digest: str) -> Optional[str]:
    """What is wrong with a cached copy; None if every file is unchanged."""
    names = sorted(os.listdir(root))
    images = [name for name in names if name.startswith(IMAGES)]
    damaged = [name for name in images if not _whole(os.path.join(root, name), digest)]
    others = [name for name in names if name not in images]
    if damaged:
        return "damaged, and not used: %s" % ", ".join(damaged)
    if others and (others != [LOOSE] or pack(os.path.join(root, LOOSE)).digest != digest):
        return "contains files that mlxops did not write, and does not use: %s" % ", ".join(others)
    torn = [path for path in _bytecode(root) if not _loads(path)]
    return "damaged bytecode of an older version: %s" % ", ".join(torn) if torn else None


def _whole(path: str, digest: str) -> bool:
    """Whether its checksum and the hash of the sources in it are right."""
    try:
        with open(path, "rb") as file:
            digest_inside, _, modules, payload = unseal(file.read())
        text = expand(payload)
    except (OSError, ValueError, zlib.error):
        return False
    return digest_inside == digest == hashlib.sha256(text).hexdigest() and set(modules) == set(
        Bundle(text, digest).files()
    )


def _bytecode(root: str) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        yield from (os.path.join(folder, name) for name in names if name.endswith(".pyc"))


def _loads(path: str) -> bool:
    """Whether the bytecode is complete. That of another Python version is only checked for its
    size."""
    with open(path, "rb") as file:
        text = file.read()
    if path.rsplit(".", 2)[-2] != sys.implementation.cache_tag:
        return len(text) > PYC_HEADER_BYTES
    try:
        return bool(marshal.loads(text[PYC_HEADER_BYTES:]))
    except (EOFError, ValueError, TypeError):
        return False
