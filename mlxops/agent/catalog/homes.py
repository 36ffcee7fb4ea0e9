"""The folders that may be the HF_HOME of a host that has no host file yet."""

from __future__ import annotations

import os
from typing import Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..models.cache import roots

USUAL = "~/.cache/huggingface"
VOLUMES = "/Volumes"
# Below each volume, and below each of its folders: "" is the folder itself.
ON_A_VOLUME = ("", "huggingface", ".cache/huggingface")
MAX_FOLDERS = 200


class Home(NamedTuple):
    """`models`: repositories in the cache below it. `why`: what names the folder."""

    path: str
    models: int
    free_bytes: Optional[int]
    why: str


def find_homes(environ: Mapping[str, str] = os.environ, volumes: str = VOLUMES) -> List[Home]:
    """HF_HOME and the usual folder, then every folder of an external volume that has models."""
    homes: List[Home] = []
    for path, why in _candidates(environ, volumes):
        full = os.path.expanduser(path)
        known = any(os.path.realpath(full) == os.path.realpath(one.path) for one in homes)
        models = _models(full)
        if not known and os.path.isabs(full) and (models or why != "volume"):
            homes.append(Home(full, models, _free_bytes(full), why))
    return homes


def _candidates(environ: Mapping[str, str], volumes: str) -> Iterator[Tuple[str, str]]:
    if environ.get("HF_HOME"):
        yield environ["HF_HOME"], "HF_HOME"
    if environ.get("HF_HUB_CACHE"):
        yield os.path.dirname(environ["HF_HUB_CACHE"].rstrip("/")), "HF_HUB_CACHE"
    yield USUAL, "usual"
    for volume in _folders(volumes):
        if os.path.realpath(volume) != "/":
            for place in [volume, *_folders(volume)]:
                for name in ON_A_VOLUME:
                    yield os.path.join(place, name).rstrip("/"), "volume"


def _folders(path: str) -> List[str]:
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError:
        return []
    places = [os.path.join(path, name) for name in names[:MAX_FOLDERS]]
    return [place for place in places if os.path.isdir(place)]


def _models(hf_home: str) -> int:
    """The models below HF_HOME/hub, else those of a cache that is directly in the folder."""
    for root in roots(hf_home):
        try:
            count = sum(name.startswith("models--") for name in os.listdir(root))
        except OSError:
            continue
        if count:
            return count
    return 0


def _free_bytes(path: str) -> Optional[int]:
    """The free space of its disk, also if the folder does not exist yet."""
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
