"""What the agent itself stands on: its interpreter, and the folder its own code is kept in."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import sys
from typing import Iterator, List, Tuple

from .. import wire
from ..command import Command
from .finding import OK, WRONG, Finding

DIGEST_DIGITS = 64


def interpreter(command: Command) -> Iterator[Finding]:
    yield Finding("interpreter", OK, "%s, Python %d.%d.%d" % (sys.executable, *sys.version_info[:3]))


def cache(command: Command) -> Iterator[Finding]:
    """Owner and mode of the folder are among those of the state folder; here, whether its content is what it says."""
    folder = os.path.join(command.site.state_dir, "agent")
    kept = _kept(folder)
    damaged = [name for name in kept if digest(os.path.join(folder, name)) != name]
    for name in damaged:
        path = os.path.join(folder, name)
        seen = "%s holds other code than was sent: somebody changed it, or the disk did" % path
        yield Finding("agent cache", WRONG, seen, "on the host: rm -r %s; it is sent again" % shlex.quote(path))
    if not damaged:
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        yield Finding("agent cache", OK, "%s, mode %o, %d kept, each as it was sent" % (folder, mode, len(kept)))


def _kept(folder: str) -> List[str]:
    return sorted(name for name in os.listdir(folder) if len(name) == DIGEST_DIGITS)


def digest(root: str) -> str:
    """The SHA-256 of an unpacked agent, reckoned as for the bundle it came in."""
    text = hashlib.sha256()
    for path, source in sorted(_sources(root, "")):
        text.update(wire.frame(path.encode("utf-8", "surrogateescape")) + wire.frame(source))
    return text.hexdigest()


def _sources(folder: str, prefix: str) -> Iterator[Tuple[str, bytes]]:
    """All files but the bytecode that Python puts beside them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _sources(entry.path, prefix + entry.name + "/")
            else:
                with open(entry.path, "rb") as file:
                    yield prefix + entry.name, file.read()
