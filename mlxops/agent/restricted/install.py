"""The file that a forced command runs: a grant and the agent, in a folder named by the SHA-256 of
the file.

The line in authorized_keys is a program that reads the file, verifies its hash and only then runs
it, so replacing the file or the folder runs nothing. The folders are kept in the state folder as
long as a key uses them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from typing import Callable, List, NamedTuple, Tuple

from ..errors import Failed
from ..wire.bootstrap import own_bundle, read_part
from ..wire.codec import frame
from ..wire.stub import state_folder
from ..wire.unpack import write_file
from .grant import Grant

FILE = "key"
KEYS = "~/.ssh/authorized_keys"
# Kept in addition to those in authorized_keys: the last used ones, and those used in this time.
MAX_UNUSED_KEYS, UNUSED_KEY_AGE_S = 10, 30 * 86400.0
NAME = re.compile(r"[0-9a-f]{64}")
# $1 the folder. The file begins with the length of a program, which reads the rest from `d` at `n`.
LOADER = (
    'import sys,os,hashlib;p=sys.argv[1];h=os.path.basename(p);q=os.path.join(p,"key");'
    'os.path.isfile(q)or sys.exit("mlxops: "+h+" is missing: authorize this key again");'
    'd=open(q,"rb").read();'
    "hashlib.sha256(d).hexdigest()==h or "
    'sys.exit("mlxops: "+h+" was changed: authorize this key again");'
    "n=d.index(10)+1;m=int(d[:n]);exec(d[n:n+m])"
)
# Modules are compiled on import; no bytecode is written or read.
PROGRAM = b"""import io, json, marshal, zlib
f = io.BytesIO(d[n + m:])
text, stub, bundle = [f.read(int(f.readline())) for _ in range(3)]
names = {"__name__": "stub"}
exec(stub, names)
class Sources(dict):
    def __getitem__(self, path):
        return marshal.dumps(compile(dict.__getitem__(self, path), path, "exec", dont_inherit=True))
g, files = io.BytesIO(zlib.decompress(bundle).replace(b"\\t", b"    ")), Sources()
for size in iter(g.readline, b""):
    path = g.read(int(size)).decode("utf-8")
    files[path] = g.read(int(g.readline()))
agent = names["Agent"](json.loads(text)["agent"], files, bundle)
sys.meta_path.insert(0, agent)
from agent.restricted.serve import main
main(text, p, agent)
"""

Sync = Callable[[int], None]


class Key(NamedTuple):
    """The file of a grant: its content and its folder."""

    content: bytes
    folder: str


def agent_digest() -> str:
    """The hash of the running agent."""
    return own_bundle().digest


def key_file(grant: Grant, state_dir: str) -> Key:
    """The file for a grant, the same on every machine with the same agent and zlib."""
    parts = (grant.text(), read_part("wire/stub.py"), own_bundle().compressed())
    content = frame(PROGRAM) + b"".join(map(frame, parts))
    return Key(content, os.path.join(_home(state_dir), hashlib.sha256(content).hexdigest()))


def _home(state_dir: str) -> str:
    return os.path.join(state_folder(state_dir), "authorized")


def install(made: Key, sync: Sync) -> bool:
    """Write a grant and its agent durably; False if they exist already."""
    path = os.path.join(made.folder, FILE)
    if _holds(path, made.content):
        return False
    try:
        for folder in (os.path.dirname(made.folder), made.folder):
            os.makedirs(folder, 0o700, exist_ok=True)
        write_file(made.content, made.folder + "." + os.urandom(6).hex(), path)
        prune(os.path.dirname(made.folder), os.path.basename(made.folder))
    except OSError as exc:
        raise Failed(
            "cannot write %s: %s" % (path, exc.strerror), "free disk space there, or fix its mode"
        ) from exc
    return True


def _holds(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as f:
            return f.read() == content
    except OSError:
        return False


def prune(home: str, new: str) -> None:
    """Remove grants that no key uses any more."""
    named = keys_text()
    found = [
        name
        for name in os.listdir(home)
        if NAME.fullmatch(name) and name != new and name not in named
    ]
    for used, name in sorted(((_used(home, name), name) for name in found), reverse=True)[
        MAX_UNUSED_KEYS:
    ]:
        if time.time() - used > UNUSED_KEY_AGE_S:
            shutil.rmtree(os.path.join(home, name), ignore_errors=True)


def _used(home: str, name: str) -> float:
    try:
        return os.lstat(os.path.join(home, name)).st_mtime
    except OSError:
        return time.time()


def mark_used(folder: str) -> None:
    """Record that a key used it."""
    try:
        os.utime(folder)
    except OSError:
        return


def keys_text() -> str:
    """The account's authorized_keys; "" if it cannot be read."""
    try:
        with open(os.path.expanduser(KEYS), encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def other_lines(blob: str, command: str) -> List[Tuple[int, str]]:
    """Other lines with the same key, with their numbers: sshd uses the first one."""
    lines = enumerate(keys_text().splitlines(), 1)
    return [
        (number, line)
        for number, line in lines
        if blob and blob in line.split() and command not in line
    ]
