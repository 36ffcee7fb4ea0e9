"""The agent as it travels: its files as one hash-named bundle, and the fixed command line that starts it."""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .agent.errors import Usage
from .agent.wire import frame

AGENT = Path(__file__).parent / "agent"

# Reads the stub from stdin and runs it. The alarm, stopped before the agent runs, is for a link that goes dead before
# all is here: TCP would wait for hours. Called with arguments by the finder only: an interpreter that is too old then
# gives its place to the next before it has read a byte.
LOADER = (
    "import sys,os,signal;signal.alarm(60);a=sys.argv[1:];"
    'sys.version_info<(3,9)and a and os.execv("/bin/sh",["sh","-c"]+a+[sys.executable]);'
    "f=sys.stdin.buffer;exec(f.read(int(f.readline())))"
)
FLAGS = ("-I", "-S", "-X", "utf8", "-c")

# $0 the loader, $1 an interpreter that is too old but the only one there may be. Candidates are tried before they are
# trusted: a pyenv shim exists for versions it does not start.
NEWEST = (
    "IFS=:; for v in 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9; do "
    "for d in $PATH /opt/homebrew/bin /usr/local/bin; do p=$d/python3.$v; "
    '[ -x "$p" ] && "$p" -I -S -c "" </dev/null >/dev/null 2>&1 && exec "$p" -I -S -X utf8 -c "$0"; done; done; '
    '[ -n "$1" ] && exec "$1" -I -S -X utf8 -c "$0"; '
    "echo mlxops: no python3 found >&2; exit 127"
)
# $0 the loader, $1 NEWEST. Where xcode-select exists this is a Mac, whose python3 without the tools is a dialog.
FIRST = (
    "p=/usr/bin/python3; t=/usr/bin/python3; if [ -e /usr/bin/xcode-select ]; then "
    "for t in /Library/Developer/CommandLineTools /Applications/Xcode.app/Contents/Developer; do "
    "t=$t/usr/bin/python3; [ -x $t ] && break; done; fi; "
    '[ -x $p ] && [ -x $t ] && exec $p -I -S -X utf8 -c "$0" "$1" "$0"; exec /bin/sh -c "$1" "$0"'
)


def command(python: str | None) -> str:
    """The command line for a login shell: the same text for every call, but for the host file's interpreter."""
    if python is None:
        return "exec " + shlex.join(["/bin/sh", "-c", FIRST, LOADER, NEWEST])
    home, rest = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return f"exec {home}{shlex.quote(rest)} {shlex.join([*FLAGS, LOADER])}"


def local_argv(python: str | None) -> list[str]:
    """The same, without a shell, on this machine."""
    return [str(Path(python or sys.executable).expanduser()), *FLAGS, LOADER]


@dataclass(frozen=True)
class Bundle:
    """All files of the agent. `digest` is the SHA-256 of `text`, in hex: per file a frame of path and one of source."""

    text: bytes
    digest: str

    def delivery(self) -> bytes:
        """The answer to a MISS."""
        return frame((AGENT / "unpack.py").read_bytes()) + frame(zlib.compress(self.text, 9))

    def opening(self, marker: str, state_dir: str, request: bytes) -> bytes:
        """Everything the host needs when it has the agent already."""
        if "\n" in state_dir or not state_dir:
            raise Usage(f"not a usable state_dir: {state_dir!r}", "correct state_dir in the host file")
        head = f"{marker} {self.digest} {state_dir}\n".encode()
        return frame((AGENT / "stub.py").read_bytes()) + head + frame(request)


@functools.cache
def pack(root: Path = AGENT) -> Bundle:
    """The agent below `root` (the folder that becomes the package `agent`), the same bytes on every machine."""
    text = b"".join(frame(f"agent/{path}".encode()) + frame(source) for path, source in sorted(sources(str(root), "")))
    return Bundle(text, hashlib.sha256(text).hexdigest())


def sources(folder: str, prefix: str) -> Iterator[tuple[str, bytes]]:
    """The Python files below a folder by relative path, but for those that travel by themselves."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from sources(entry.path, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py") and entry.name not in ("stub.py", "unpack.py"):
            with open(entry.path, "rb") as file:
                yield prefix + entry.name, file.read()
