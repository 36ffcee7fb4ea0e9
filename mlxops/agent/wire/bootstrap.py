"""The agent's start on a host: a fixed command line, and its files as one bundle named by its hash.

Shared by client and agent: an agent sends itself to the other hosts of a model that runs on
several."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

from ..errors import Usage
from .codec import frame
from .unpack import expand, split

# Set by the stub's importer, if the agent was imported from memory.
_kept: Optional[bytes] = getattr(__spec__.loader, "payload", None)
_digest: str = getattr(__spec__.loader, "digest", "")
# Reads the stub from stdin and runs it. The alarm, stopped before the agent runs, ends a link that
# dies during the transfer: TCP would wait for hours. Only the finder passes arguments: a Python
# that is too old then starts the next candidate before it reads a byte.
LOADER = (
    "import sys,os,signal;signal.alarm(60);a=sys.argv[1:];"
    'sys.version_info<(3,9)and a and os.execv("/bin/sh",["sh","-c"]+a+[sys.executable]);'
    "f=sys.stdin.buffer;exec(f.read(int(f.readline())))"
)
FLAGS = ("-I", "-S", "-X", "utf8", "-c")

# $0 the loader, $1 a Python that is too old but may be the only one. Each candidate is run once
# first: a pyenv shim may exist for a version that is not installed.
NEWEST_FINDER = (
    "IFS=:; for v in 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9; do "
    "for d in $PATH /opt/homebrew/bin /usr/local/bin; do p=$d/python3.$v; "
    '[ -x "$p" ] && "$p" -I -S -c "" </dev/null >/dev/null 2>&1 && exec "$p" -I -S -X utf8 -c '
    '"$0"; done; done; '
    '[ -n "$1" ] && exec "$1" -I -S -X utf8 -c "$0"; '
    "echo mlxops: no python3 found >&2; exit 127"
)
# $0 the loader, $1 NEWEST_FINDER. On a Mac (xcode-select exists) /usr/bin/python3 opens a dialog if
# the developer tools are missing, and fails if xcode-select points to a deleted Xcode. So the
# tools' own python3 is started.
MAC_SAFE_FINDER = (
    "t=/usr/bin/python3; if [ -e /usr/bin/xcode-select ]; then "
    "for t in /Library/Developer/CommandLineTools /Applications/Xcode.app/Contents/Developer; do "
    "t=$t/usr/bin/python3; [ -x $t ] && break; done; fi; "
    '[ -x $t ] && exec $t -I -S -X utf8 -c "$0" "$1" "$0"; exec /bin/sh -c "$1" "$0"'
)
# The command line for the login shell, the same for each call.
LAUNCH_COMMAND = ("/bin/sh", "-c", MAC_SAFE_FINDER, LOADER, NEWEST_FINDER)


class Bundle(NamedTuple):
    """All files of the agent. `text`: a frame of path and a frame of source per file; `digest`: its
    SHA-256 in hex."""

    text: bytes
    digest: str

    def files(self) -> Dict[str, bytes]:
        """The sources by path."""
        return split(self.text)

    def frames(self) -> bytes:
        """The reply to MISS: `unpack`, then the compressed bundle."""
        return frame(read_part("wire/unpack.py")) + frame(self.compressed())

    def compressed(self) -> bytes:
        """The text for `expand`. A tab for each step of indentation compresses better."""
        return zlib.compress(self.text.replace(b"    ", b"\t"), 9)

    def handshake(self, marker: str, state_dir: str, request: bytes) -> bytes:
        """The start of a call: stub, marker, hash, state folder and request."""
        if "\n" in state_dir or not state_dir:
            raise Usage("invalid state_dir: %r" % state_dir, "correct state_dir in the host file")
        head = "%s %s %s\n" % (marker, self.digest, state_dir)
        return frame(read_part("wire/stub.py")) + head.encode() + frame(request)


def pack(root: str) -> Bundle:
    """The agent below `root`, the folder that becomes the package `agent`: the same bytes on every
    machine."""
    text = b"".join(
        frame(("agent/" + path).encode()) + frame(source)
        for path, source in sorted(source_files(root, ""))
    )
    return Bundle(text, hashlib.sha256(text).hexdigest())


def own_bundle() -> Bundle:
    """The running agent: from memory if a stub started it, else from its folder."""
    if _kept is None:
        return pack(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return Bundle(expand(_kept), _digest)


def source_files(folder: str, prefix: str) -> Iterator[Tuple[str, bytes]]:
    """The Python files below a folder by relative path."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from source_files(entry.path, "%s%s/" % (prefix, entry.name))
        elif entry.name.endswith(".py"):
            with open(entry.path, "rb") as file:
                yield prefix + entry.name, file.read()


def read_part(name: str) -> bytes:
    """The text of one file of the running agent."""
    if _kept is not None:
        return own_bundle().files()["agent/" + name]
    with open(
        os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name), "rb"
    ) as file:
        return file.read()
