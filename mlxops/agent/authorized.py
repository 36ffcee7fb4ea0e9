"""The folders that forced commands run from: a grant beside a copy of the agent, named by the grant's hash.

They lie in the state folder next to the agents' own, which a later version tidies away after a while; these stay.
"""

from __future__ import annotations

import os
import shutil
from typing import Callable, Dict, Tuple

from .bootstrap import pack
from .errors import Failed
from .grant import Grant

MAIN = b"""try:
    from agent.forced import main
except Exception as exc:
    raise SystemExit("mlxops: this key's agent does not load (%s): mlxops authorize again" % exc)
main(__file__)
"""
# The folder this agent was started from, which the stub found safe: STATE/agent/HASH.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

Sync = Callable[[int], None]


def agent() -> Tuple[str, Dict[str, bytes]]:
    """Hash and files of the agent that runs; Failed when they are not the ones that were sent."""
    packed = pack(os.path.join(ROOT, "agent"))
    digest, files = packed.digest, packed.files()
    if digest != os.path.basename(ROOT):
        raise Failed("%s is not the agent that was sent" % ROOT, "remove that folder on the host, and run it again")
    return digest, files


def folder(grant: Grant) -> str:
    """Where a grant is kept."""
    return os.path.join(os.path.dirname(os.path.dirname(ROOT)), "authorized", grant.digest())


def install(grant: Grant, files: Dict[str, bytes], sync: Sync) -> bool:
    """Put the grant and its agent in place, durable; False when they are there already."""
    whole = {**files, "__main__.py": MAIN, "grant.json": grant.text()}
    place = folder(grant)
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
