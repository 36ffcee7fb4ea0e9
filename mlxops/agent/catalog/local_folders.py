"""Models in plain folders: those of LM Studio (FOLDER/PUBLISHER/MODEL), exo (FOLDER/ORG--NAME) and
oMLX, of `hf download --local-dir`, and models that were fused or converted on the host."""

from __future__ import annotations

import os
from typing import FrozenSet, Iterable, Iterator, List, NamedTuple, Set, Tuple

from ..models import cache as hfcache
from ..models.location import folder_identity, missing_reason

MAX_DEPTH = 2
MAX_FOLDERS = 2000
_WEIGHTS = (".safetensors", ".gguf", ".npz")
_CACHE_PREFIX = "models--"
# Where programs keep models on a Mac, below the home folder and on volumes.
USUAL = (
    "~/.lmstudio/models",
    "~/.cache/lm-studio/models",
    "~/.omlx/models",
    "~/.exo/models",
    "~/.local/share/exo/models",
)
VOLUMES = "/Volumes"
ON_A_VOLUME = ("models", ".lmstudio/models", "lmstudio/models", "LM Studio Models", "LMStudio")


class LocalModel(NamedTuple):
    """A model in a folder outside of the Hub's cache. `label`: PUBLISHER/MODEL, or the name of the
    folder."""

    label: str
    snapshot: hfcache.Snapshot


class ModelDir(NamedTuple):
    """A folder of models that a host file may name."""

    path: str
    models: int


def find_models(model_dirs: Iterable[str], known: Iterable[str]) -> Tuple[LocalModel, ...]:
    """The models below these folders, each once, however many links lead to it. `known`: the
    folders of other models, such as the snapshots of the cache, which are left out."""
    seen: Set[str] = {folder_identity(path) for path in known}
    found: List[LocalModel] = []
    places = [(top, path) for top in model_dirs for path in _model_folders(top)]
    # A model is named after its folder, not after a link to it.
    for top, path in sorted(places, key=lambda place: _is_linked(*place)):
        identity = folder_identity(path)
        if identity in seen:
            continue
        seen.add(identity)
        try:
            found.append(LocalModel(label_of(path, top), hfcache.inspect(path)))
        except OSError:
            continue
    return tuple(found)


def _is_linked(top: str, path: str) -> bool:
    """Whether a link leads from `top` to the folder."""
    inside = os.path.relpath(path, top)
    return os.path.realpath(path) != os.path.normpath(os.path.join(os.path.realpath(top), inside))


def missing_dirs(model_dirs: Iterable[str]) -> Tuple[str, ...]:
    """Why folders of the host file do not exist, such as a disk that is not mounted."""
    return tuple(filter(None, map(missing_reason, model_dirs)))


def label_of(path: str, top: str = "") -> str:
    """The name of a model's folder, with its publisher if that is a folder below `top`."""
    path = os.path.normpath(path)
    label = os.path.relpath(path, top) if top else os.path.basename(path)
    if label == os.curdir:
        label = os.path.basename(path)
    # exo writes ORG--NAME.
    return label.replace("--", "/", 1) if "/" not in label else label


def is_model_folder(path: str) -> bool:
    """Whether the folder itself, and not one below it, holds a model or a part of one."""
    return _is_model(_names(path))


def find_model_dirs(volumes: str = VOLUMES) -> List[ModelDir]:
    """The usual folders of models on this host that hold at least one."""
    dirs: List[ModelDir] = []
    places = [os.path.expanduser(path) for path in USUAL]
    for volume in _folders(volumes):
        if os.path.realpath(volume) != "/":
            places += [os.path.join(volume, name) for name in ON_A_VOLUME]
    for place in places:
        count = sum(1 for _ in _model_folders(place)) if os.path.isabs(place) else 0
        if count and not any(_is_same(place, one.path) for one in dirs):
            dirs.append(ModelDir(place, count))
    return dirs


def _is_same(one: str, other: str) -> bool:
    return folder_identity(one) == folder_identity(other)


def _model_folders(top: str) -> Iterator[str]:
    """The model folders of `top`: itself, or folders at most MAX_DEPTH below it."""
    top = os.path.normpath(top)
    level = [top]
    count = 0
    for _ in range(MAX_DEPTH + 1):
        below: List[str] = []
        for path in level:
            count += 1
            if count > MAX_FOLDERS:
                return
            if _is_model(_names(path)):
                yield path
            else:
                below += _folders(path)
        level = below


def _is_model(names: FrozenSet[str]) -> bool:
    # LM Studio keeps settings of its own beside the publishers.
    weights = any(n.endswith(_WEIGHTS) and not n.startswith(".") for n in names)
    return weights or {"config.json", "tokenizer_config.json"} <= names


def _names(path: str) -> FrozenSet[str]:
    try:
        return frozenset(os.listdir(path))
    except OSError:
        return frozenset()


def _folders(path: str) -> List[str]:
    """The folders in a folder, without hidden ones and those of a Hub cache."""
    names = sorted(n for n in _names(path) if not n.startswith((".", _CACHE_PREFIX)))
    return [place for place in (os.path.join(path, n) for n in names) if os.path.isdir(place)]
