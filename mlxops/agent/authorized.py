"""The folders that forced commands run from: a grant beside a copy of the agent, named by the grant's hash.

They lie in the state folder next to the agents' own, which a later version tidies away after a while; these stay.
"""

from __future__ import annotations

import os
import shutil
from typing import Callable, Dict, Tuple

from .bootstrap import own
from .errors import Failed
from .grant import Grant
from .stub import state_folder

# Bytecode that a full disk cut short would be believed for ever: none is written, and none is read.
MAIN = b"""import sys
sys.dont_write_bytecode, sys.pycache_prefix = True, "/dev/null"
try:
    from agent.forced import main
except Exception as exc:
    raise SystemExit("mlxops: this key's agent does not load (%s): mlxops authorize again" % exc)
main(__file__)
"""

Sync = Callable[[int], None]


def agent() -> Tuple[str, Dict[str, bytes]]:
    """Hash and files of the agent that runs."""
    packed = own()
    return packed.digest, packed.files()


def folder(grant: Grant, state_dir: str) -> str:
    """Where a grant is kept."""
    return os.path.join(state_folder(state_dir), "authorized", grant.digest())


def install(grant: Grant, files: Dict[str, bytes], state_dir: str, sync: Sync) -> bool:
    """Put the grant and its agent in place, durable; False when they are there already."""
    whole = {**files, "__main__.py": MAIN, "grant.json": grant.text()}
    place = folder(grant, state_dir)
    if _whole(place, whole):
        return False
    fresh = place + "." + os.urandom(6).hex()
    try:
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        _write(fresh, whole, sync)
        _settle(fresh, place, whole)
    except OSError as exc:
        raise Failed("cannot write %s: %s" % (place, exc.strerror), "make room there, or correct its mode") from exc
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def _settle(fresh: str, place: str, files: Dict[str, bytes]) -> None:
    """Give the new folder its name, unless another has just done the same; a damaged one gives way."""
    try:
        os.rename(fresh, place)
    except OSError:
        if _whole(place, files):
            return
        shutil.rmtree(place)
        os.rename(fresh, place)


def _whole(place: str, files: Dict[str, bytes]) -> bool:
    return all(_holds(os.path.join(place, path), content) for path, content in files.items())


def _holds(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as f:
            return f.read() == content
    except OSError:
        return False


def _write(root: str, files: Dict[str, bytes], sync: Sync) -> None:
    os.mkdir(root, 0o700)
    for path, content in files.items():
        where = os.path.join(root, path)
        os.makedirs(os.path.dirname(where), 0o700, exist_ok=True)
        fd = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as f:
            f.write(content)
            f.flush()
            sync(fd)
