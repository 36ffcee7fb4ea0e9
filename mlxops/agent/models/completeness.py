"""Whether a model folder contains every file a server reads, and whether each file is intact.

mlx-lm reads every `model*.safetensors` (mlx_lm/utils.py, load_model) and never opens the index. So
the files on disk decide: a set of shards must be complete according to its own numbers. The index
can only add names that the loader would read."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import (
    Any,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Set,
    Tuple,
)

from ..untrusted import is_safe_relative_path, parse_object, read_bounded
from .files import INDEX, MAX_CONFIG_BYTES, SINGLE, config, find_damage, is_needed_file
from .location import missing_reason

_INDEX_LIMIT = 64 << 20
_SHARD = re.compile(r"(.*)-(\d{1,6})-of-(\d{1,6})\.safetensors")
_MAX_SHARDS = 10_000
# Each of these sets is a complete tokenizer (transformers' fast, sentencepiece, GPT-2 BPE, Mistral,
# Kimi, PLaMo).
TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("vocab.json", "merges.txt"),
    ("tekken.json",),
    ("tiktoken.model",),
    ("tokenizer.jsonl",),
)
# What a folder without weights for mlx-lm may have instead: (end of a name, what it is).
_OTHER_WEIGHTS = (
    (".gguf", "its weights are GGUF files, for llama.cpp or Ollama"),
    (".npz", "its weights are .npz files, of an early mlx-lm"),
    (".bin", "its weights are PyTorch .bin files"),
    (".pt", "its weights are PyTorch .pt files"),
    (".pth", "its weights are PyTorch .pth files"),
    (".safetensors", "mlx-lm reads only model*.safetensors, not {name}"),
)
# A safetensors file of a model is larger, a pointer to one is smaller.
_MAX_POINTER_BYTES = 1024
# In the state folder.
_DAMAGED, MAX_REMEMBERED = "damaged.json", 100
# path -> name -> [size, mtime, what is wrong]
Damage = Dict[str, Dict[str, List[Any]]]
ABSENT, EMPTY = "missing", "empty or not a regular file"


class Shards(NamedTuple):
    """A set of shards PREFIX-NNNNN-of-MMMMM.safetensors. `width`: digits of a number."""

    prefix: str
    width: int
    total: str
    numbers: FrozenSet[int]

    def gaps(self) -> Iterator[str]:
        count = int(self.total)
        first = 0 if 0 in self.numbers else 1
        for number in range(first, min(first + count, _MAX_SHARDS)):
            if number not in self.numbers:
                yield "%s-%0*d-of-%s.safetensors" % (self.prefix, self.width, number, self.total)


def loaded_weights(names: Iterable[str]) -> Tuple[str, ...]:
    """The files that mlx-lm would load as weights from a folder with these files."""
    return tuple(
        sorted(
            n
            for n in names
            if n.startswith("model") and n.endswith(".safetensors") and "/" not in n
        )
    )


def missing_shards(names: Iterable[str]) -> Tuple[str, ...]:
    """The shards that are missing, according to the numbers of those that are present."""
    sets: Dict[Tuple[str, int, str], Set[int]] = {}
    for name in names:
        match = _SHARD.fullmatch(name)
        if match:
            sets.setdefault((match[1], len(match[2]), match[3]), set()).add(int(match[2]))
    return tuple(
        gap for key, numbers in sets.items() for gap in Shards(*key, frozenset(numbers)).gaps()
    )


def has_tokenizer(names: Iterable[str]) -> bool:
    """Whether a folder with these files, none of them empty, has a tokenizer."""
    there = frozenset(names)
    known = any(there.issuperset(group) for group in TOKENIZERS)
    return known or any(
        name.endswith(".tiktoken") or name.startswith("rwkv_vocab") for name in there
    )


def missing_files(names: Iterable[str]) -> Dict[str, str]:
    """name -> what is wrong, of the files that a folder or repository with these names lacks to be
    a complete model."""
    there = frozenset(names)
    weights = loaded_weights(there)
    gaps = dict.fromkeys(missing_shards(weights), ABSENT)
    if not weights:
        gaps[SINGLE] = missing_weights(there)
    if "config.json" not in there:
        gaps["config.json"] = ABSENT
    if not has_tokenizer(there) and not any(n.endswith(".py") for n in there):
        gaps["tokenizer.json"] = ABSENT
    return gaps


def missing_weights(names: Iterable[str]) -> str:
    """What is wrong with a folder that has no weights for mlx-lm: what it has instead."""
    there = sorted(n for n in names if "/" not in n and not n.startswith("."))
    if "adapters.safetensors" in there or "adapter_model.safetensors" in there:
        return "missing: it is an adapter, not a model"
    for end, what in _OTHER_WEIGHTS:
        name = next((n for n in there if n.endswith(end)), "")
        if name:
            return "missing: %s" % what.format(name=name)
    return ABSENT


def stray_weights(names: Iterable[str]) -> Tuple[str, ...]:
    """The files beside a model's own weights that mlx-lm would load as part of it, such as
    model-mtp.safetensors."""
    weights = loaded_weights(names)
    own = [n for n in weights if n == SINGLE or _SHARD.fullmatch(n)]
    return tuple(n for n in weights if n not in own) if own else ()


def _indexed(path: str) -> Optional[Set[str]]:
    """The files that the index names; None if it names none."""
    names = parse_object(read_bounded(os.path.join(path, INDEX), _INDEX_LIMIT)).get("weight_map")
    if (
        not isinstance(names, dict)
        or not names
        or not all(isinstance(name, str) for name in names.values())
    ):
        return None
    return set(names.values())


def _demanded(path: str, there: FrozenSet[str]) -> Set[str]:
    """The files that the index adds to the weights in the folder."""
    if not os.path.lexists(os.path.join(path, INDEX)):
        return set()
    named = _indexed(path)
    if named is None:
        # mlx-lm does not read it.
        return set() if loaded_weights(there) else {INDEX}
    # A name that leads out of the folder is reported, and not opened.
    odd = {repr(name)[:80] for name in named if not is_safe_relative_path(name)}
    weights, read_by_loader = (
        loaded_weights(there),
        set(loaded_weights(filter(is_safe_relative_path, named))),
    )
    if not weights and not read_by_loader:
        return odd | set(filter(is_safe_relative_path, named))
    stale = bool(weights) and not missing_shards(weights) and not read_by_loader & there
    return odd if stale else odd | read_by_loader


def weight_files(path: str) -> Tuple[str, ...]:
    """The weights that a server reads from a model folder, missing ones too; OSError if it cannot
    be listed."""
    there = frozenset(os.listdir(path))
    weights = loaded_weights(there)
    names = {*weights, *missing_shards(weights), *_demanded(path, there)}
    return tuple(sorted(names)) or (SINGLE,)


def has_stale_index(path: str) -> bool:
    """Whether the index names other files than the weights in the folder: harmless on one host, but
    not for a model on several."""
    if not os.path.lexists(os.path.join(path, INDEX)):
        return False
    named = _indexed(path)
    return named is None or loaded_weights(named) != loaded_weights(os.listdir(path))


def find_faults(path: str, deep: bool = False) -> Dict[str, str]:
    """name -> what is wrong with it, of the files a server needs; {} if the model is complete.

    `deep`: parse large files too, which takes up to a second. OSError if the folder cannot be
    listed."""
    names = frozenset(os.listdir(path))
    needed = {"config.json", *weight_files(path)}
    # A broken link was needed once, and a server would block on a FIFO. An empty __init__.py is
    # fine.
    candidates = {n for n in names if is_needed_file(n) and n != INDEX}
    needed.update(n for n in candidates if _weights(n) or not os.path.isfile(os.path.join(path, n)))
    faults = {name: why for name in needed for why in [_absent(path, name)] if why}
    if faults.get(SINGLE) == ABSENT and not loaded_weights(names):
        faults[SINGLE] = missing_weights(names)
    for name in sorted(
        n for n in candidates | needed if is_safe_relative_path(n) and n not in faults
    ):
        why = find_damage(os.path.join(path, name), deep)
        if why:
            faults[name] = why
    if "config.json" not in faults and not config(path):
        faults["config.json"] = "not a JSON object with settings"
    if INDEX in needed and INDEX not in faults:
        faults[INDEX] = "names no weights"
    if not faults.keys() & set(sum(TOKENIZERS, ())) and not _has_tokenizer(path, names):
        faults["tokenizer.json"] = ABSENT
    return faults


def visible_gaps(path: str) -> Dict[str, str]:
    """name -> what is wrong, of the files that a server needs, by a look at names, links and sizes
    alone; OSError if the folder cannot be listed. Quick: `list` asks it of every entry."""
    names = os.listdir(path)
    gaps = missing_files(names)
    for name in ("config.json", *loaded_weights(names)):
        place = os.path.join(path, name)
        try:
            size = os.stat(place).st_size
        except OSError:
            gaps.setdefault(name, _absent(path, name))
            continue
        if (size <= _MAX_POINTER_BYTES and _weights(name)) or not os.access(place, os.R_OK):
            why = _absent(path, name) or find_damage(place, deep=False)
            gaps.update({name: why} if why else {})
    return gaps


def remember_damage(state_dir: str, path: str, faults: Mapping[str, str]) -> None:
    """Keep what a look into the files of a folder has found, for `list`; or that it is gone."""
    found: Dict[str, List[Any]] = {}
    for name, why in faults.items():
        with contextlib.suppress(OSError):
            was = os.stat(os.path.join(path, name))
            found[name] = [was.st_size, was.st_mtime_ns, why]
    known = recall_damage(state_dir)
    if known.get(path, {}) == found:
        return
    others = [(at, names) for at, names in known.items() if at != path][-MAX_REMEMBERED:]
    with contextlib.suppress(OSError):
        draft = "%s.%d" % (os.path.join(state_dir, _DAMAGED), os.getpid())
        with open(draft, "w", encoding="ascii") as stream:
            json.dump({**dict(others), **({path: found} if found else {})}, stream)
        os.replace(draft, os.path.join(state_dir, _DAMAGED))


def recall_damage(state_dir: str) -> Damage:
    """The files that were damaged at the last look."""
    kept = parse_object(read_bounded(os.path.join(state_dir, _DAMAGED), MAX_CONFIG_BYTES))
    return {
        path: {n: v for n, v in names.items() if isinstance(v, list) and len(v) == 3}
        for path, names in kept.items()
        if isinstance(names, dict)
    }


def remembered_gaps(path: str, damaged: Mapping[str, List[Any]]) -> Dict[str, str]:
    """The damaged files that have not changed since."""
    gaps = {}
    for name, (size, changed, why) in damaged.items():
        with contextlib.suppress(OSError, ValueError):
            now = os.stat(os.path.join(path, name))
            if (now.st_size, now.st_mtime_ns) == (size, changed):
                gaps[name] = str(why)
    return gaps


def may_still_load(path: str, found: Mapping[str, str]) -> bool:
    """Whether a server may still load the model: none of the files that it always reads is
    wrong."""
    weights = loaded_weights(os.listdir(path))
    holes = missing_shards(weights)

    def doubt(name: str, why: str) -> bool:
        extra = _weights(name) and name not in holes and bool(weights)
        return name == INDEX or (why == ABSENT and (name == "tokenizer.json" or extra))

    return all(doubt(name, why) for name, why in found.items())


def _weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _absent(path: str, name: str) -> str:
    place = os.path.join(path, name)
    if not is_safe_relative_path(name) or not os.path.lexists(place):
        return ABSENT
    try:
        there = os.path.isfile(place) and os.stat(place).st_size > 0
    except (OSError, ValueError):
        there = False
    if not there and os.path.islink(place) and not os.path.exists(place):
        target = os.path.normpath(os.path.join(path, os.readlink(place)))
        return "a broken link: %s" % (
            missing_reason(os.path.dirname(target)) or target + " does not exist"
        )
    return "" if there else EMPTY


def _has_tokenizer(path: str, names: Iterable[str]) -> bool:
    """Whether there is a tokenizer. The repository's own code (`auto_map`) may read a vocabulary
    under any name."""
    there = [n for n in names if is_needed_file(n) and not _absent(path, n)]
    own = parse_object(
        read_bounded(os.path.join(path, "tokenizer_config.json"), MAX_CONFIG_BYTES)
    ).get("auto_map")
    return has_tokenizer(there) or (isinstance(own, dict) and any(n.endswith(".py") for n in there))
