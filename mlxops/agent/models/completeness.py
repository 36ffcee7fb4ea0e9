"""Whether a model folder contains every file a server reads, and whether each file is intact.

mlx-lm reads every `model*.safetensors` (mlx_lm/utils.py, load_model) and never opens the index. So
the files on disk decide: a set of shards must be complete according to its own numbers. The index
can only add names that the loader would read."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from typing import (
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
from .files import INDEX, MAX_CONFIG_BYTES, SINGLE, config, is_needed_file
from .location import missing_reason

_INDEX_LIMIT = 64 << 20
# safetensors refuses headers over 100 MB; real ones stay under 2 MB.
_HEADER_LIMIT = 16 << 20
_MAX_HEADER_BYTES = 100 << 20
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
# Files that transformers parses to make the tokenizer.
_OBJECTS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_OBJECT_LIMIT = 256 << 20
# Parsed at every check; a larger file is parsed only by a load.
_SMALL = 1 << 20
_START_BYTES = 4096
_POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` there"),
    (b"/annex/objects/", "a git-annex pointer: run `git annex get` there"),
)
# Of any runtime.
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".npz", ".pt")
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


def missing_files(names: Iterable[str]) -> Tuple[str, ...]:
    """The files that a repository with these files lacks to be a complete model."""
    there = frozenset(names)
    weights = loaded_weights(there)
    gaps = list(missing_shards(weights)) if weights else [SINGLE]
    if not has_tokenizer(there) and not any(n.endswith(".py") for n in there):
        gaps.append("tokenizer.json")
    return tuple(sorted(gaps))


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
        return {INDEX}
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
    named = _indexed(path)
    return named is not None and loaded_weights(named) != loaded_weights(os.listdir(path))


def find_faults(path: str, deep: bool = False) -> Dict[str, str]:
    """name -> what is wrong with it, of the files a server needs; {} if the model is complete.

    `deep`: parse large files too, which takes up to a second. OSError if the folder cannot be
    listed."""
    names = frozenset(os.listdir(path))
    needed = {"config.json", *weight_files(path)}
    # A broken link was needed once, and a server would block on a FIFO. An empty __init__.py is
    # fine.
    needed.update(
        n
        for n in names
        if is_needed_file(n) and (_weights(n) or not os.path.isfile(os.path.join(path, n)))
    )
    faults = {name: why for name in needed for why in [_absent(path, name)] if why}
    for name in sorted(
        n
        for n in names | needed
        if is_safe_relative_path(n) and n not in faults and (n in needed or is_needed_file(n))
    ):
        why = _damage(os.path.join(path, name), deep)
        if why:
            faults[name] = why
    if "config.json" not in faults and not config(path):
        faults["config.json"] = "not a JSON object with settings"
    if INDEX in needed and INDEX not in faults:
        faults[INDEX] = "names no weights"
    if not faults.keys() & set(sum(TOKENIZERS, ())) and not _has_tokenizer(path, names):
        faults["tokenizer.json"] = ABSENT
    return faults


def visible_gaps(path: str) -> Tuple[str, ...]:
    """The weights, and the config.json, that a look at the folder shows to be missing or to be
    broken links; OSError if it cannot be listed. Quick: `list` asks it of every entry."""
    names = os.listdir(path)
    weights = loaded_weights(names)
    gaps = set(missing_shards(weights))
    if not any(name.endswith(_WEIGHTS) for name in names):
        gaps.add(SINGLE)
    gaps.update(
        name for name in ("config.json", *weights) if not os.path.exists(os.path.join(path, name))
    )
    return tuple(sorted(gaps))


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


def _damage(path: str, deep: bool) -> str:
    """What is wrong with the content of an existing file; "" if nothing is."""
    try:
        was = os.stat(path)
    except OSError as exc:
        return "cannot be read: %s" % exc.strerror
    return _damage_of(path, was.st_size, was.st_mtime_ns, deep)


@lru_cache(maxsize=4096)
def _damage_of(path: str, size: int, changed: int, deep: bool) -> str:
    """Checked once per file and command, unless size or mtime change."""
    start = read_bounded(path, _START_BYTES)
    if start is None:
        return "cannot be read: check its owner and mode"
    pointer = next((what for mark, what in _POINTERS if start.startswith(mark)), "")
    if pointer:
        return pointer
    leaf = os.path.basename(path)
    if _weights(leaf):
        return _truncated(path, size, start)
    return _broken(path, size, start, deep) if leaf in _OBJECTS else ""


def _truncated(path: str, size: int, start: bytes) -> str:
    """Whether a safetensors file is truncated. Layout: 8 bytes little-endian length, that many
    bytes of JSON, then the tensors at the offsets in the JSON."""
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= _MAX_HEADER_BYTES or size < 8:
        return "not a safetensors file"
    if size < 8 + length:
        return "truncated at %d bytes, inside its header" % size
    if length > _HEADER_LIMIT:
        return ""
    header = parse_object((read_bounded(path, 8 + length) or b"")[8:])
    if not header:
        return "not a safetensors file: its header is not JSON"
    end = _end(header)
    if end is None:
        return "not a safetensors file: its header gives no offsets"
    return "truncated: %d of %d bytes" % (size, 8 + length + end) if size < 8 + length + end else ""


def _end(header: Mapping[str, object]) -> Optional[int]:
    """Bytes of all tensors; None if one of them has no offsets."""
    ends: List[int] = [0]
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        place = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if (
            not isinstance(place, list)
            or len(place) != 2
            or any(type(n) is not int or n < 0 for n in place)
        ):
            return None
        ends.append(place[1])
    return max(ends)


def _broken(path: str, size: int, start: bytes, deep: bool) -> str:
    if not size:
        return "empty"
    if not start.strip(b"\0"):
        return "filled with zeros"
    if start.lstrip()[:1] == b"<":
        return "an HTML or XML page"
    if start.lstrip()[:1] != b"{":
        return "not a JSON object"
    if size > _OBJECT_LIMIT or (size > _SMALL and not deep):
        return "" if _last(path, size) == b"}" else "truncated: it does not end as JSON does"
    try:
        json.loads(read_bounded(path, _OBJECT_LIMIT) or b"")
    except (ValueError, RecursionError) as exc:
        return "not JSON: %s" % exc
    return ""


def _last(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, size - _START_BYTES))
            return file.read(_START_BYTES).rstrip()[-1:]
    except OSError:
        return b""
