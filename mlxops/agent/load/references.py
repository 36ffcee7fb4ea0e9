"""The files, folders, adapters and other models that an entry's `args` refer to.

A server opens them during its start, so they are checked before the old server is stopped.
"""

from __future__ import annotations

import json
import os
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..context import Context
from ..errors import Failed, ModelMissing, mlxops_command
from ..models import cache as hfcache
from ..models.location import missing_reason
from ..models.rejections import Rejection
from ..registry import resolve
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from . import presence

FILE, FOLDER, ADAPTER, MADE, OBJECT = "file", "folder", "adapter", "made", "object"
# A model that is served beside the main one; parts of one, such as its tokenizer; a draft model
# inside of a JSON object; a template, or a file with it.
MODEL, PARTS, DRAFT, TEMPLATE = "model", "parts", "draft", "template"
# By runtime: mlx_lm.server 0.32 and mlx-openai-server 1.5 to 1.8 from their sources, vllm from that
# of 0.24. A runtime of the host file gets all of them.
_LM = {"--adapter-path": ADAPTER, "--draft-model": MODEL, "--chat-template-args": OBJECT}
_OPENAI = {
    "--draft-model-path": MODEL,
    "--chat-template-file": FILE,
    "--prompt-cache-dir": MADE,
    "--log-file": MADE,
    "--lora-paths": FILE,
    "--config": FILE,
}
_VLLM = {
    "--tokenizer": PARTS,
    "--hf-config-path": PARTS,
    "--generation-config": PARTS,
    "--speculative-config": DRAFT,
    "--lora-modules": PARTS,
    "--chat-template": TEMPLATE,
    "--tool-parser-plugin": FILE,
    "--download-dir": MADE,
    "--allowed-local-media-path": FOLDER,
    "--log-config-file": FILE,
    "--ssl-keyfile": FILE,
    "--ssl-certfile": FILE,
    "--ssl-ca-certs": FILE,
    "--config": FILE,
}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "mlx_lm.server": _LM,
    "mlx-openai-server": _OPENAI,
    "vllm": _VLLM,
}
# Options with several values: words up to the next option, or a word with commas.
_WORDS, _COMMAS = ("--lora-modules",), ("--lora-paths",)
# Values that are keywords instead of paths.
_KEYWORDS = {"--generation-config": ("auto", "vllm")}
_ADAPTER_FILES = ("adapter_config.json", "adapters.safetensors")


class Reference(NamedTuple):
    """One value of an option that refers to something on the host."""

    option: str
    kind: str
    value: str


class Beside(NamedTuple):
    """What a server loads beside its model: a reference, and the folder that it means."""

    reference: Reference
    path: str


def references_in(runtime: Runtime, args: Sequence[str]) -> Tuple[Reference, ...]:
    """The references of the options, as `--x y` or `--x=y`; of an option that is repeated, the
    last."""
    known = OPTIONS.get(runtime.name) or {**_VLLM, **_OPENAI, **_LM}
    by_option: Dict[str, Tuple[Reference, ...]] = {}
    for place, word in enumerate(args):
        option, equals, value = word.partition("=")
        if option in known:
            values = [value] if equals else list(_values(option, args[place + 1 :]))
            by_option[option] = tuple(_read(option, known[option], values))
    return tuple(one for found in by_option.values() for one in found)


def _values(option: str, rest: Sequence[str]) -> Iterator[str]:
    for word in rest:
        if word.startswith("--"):
            return
        yield word
        if option not in _WORDS:
            return


def _read(option: str, kind: str, values: Sequence[str]) -> Iterator[Reference]:
    for text in values:
        for one in text.split(",") if option in _COMMAS else [text]:
            if option in _WORDS:
                value: Optional[str] = _path_of_module(one)
            elif kind == DRAFT:
                value = _string_in(one, "model")
            else:
                value = one.strip()
            is_template = kind == TEMPLATE and any(c in one for c in "{}\n")
            if value is not None and value not in _KEYWORDS.get(option, ()) and not is_template:
                yield Reference(option, MODEL if kind == DRAFT else kind, value)


def _path_of_module(text: str) -> Optional[str]:
    """NAME=PATH, or a JSON object with a path."""
    return _string_in(text, "path") if text.startswith("{") else text.partition("=")[2] or text


def _string_in(text: str, key: str) -> Optional[str]:
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def with_full_paths(runtime: Runtime, args: Sequence[str]) -> List[str]:
    """The words with `~` replaced in those that name a path: no shell does it for a server."""
    homes = {one.value for one in references_in(runtime, args) if one.value.startswith("~")}
    words = []
    for word in args:
        option, equals, value = word.partition("=")
        text = value if equals and option.startswith("--") else word
        full = os.path.expanduser(text) if text in homes else text
        words.append("%s=%s" % (option, full) if text is not word else full)
    return words


def rejections(ctx: Context, runtime: Runtime, entry: Entry, port: int) -> Tuple[Rejection, ...]:
    """The references to things that are missing. Relative paths start at the server's working
    folder."""
    folder = _working_folder(ctx, port)
    faults: List[Rejection] = []
    for one in references_in(runtime, entry.args):
        why = _fault(ctx, one, folder)
        if why:
            faults.append(Rejection("args", one.value, "%s %s: %s" % (one.option, one.value, why)))
    return tuple(faults)


def _working_folder(ctx: Context, port: Optional[int]) -> str:
    return os.path.join(ctx.site.state_dir, "run", str(port or 0))


def _fault(ctx: Context, one: Reference, folder: str) -> str:
    if one.kind == OBJECT:
        return _no_object(one.value)
    path = os.path.join(folder, one.value)
    if one.value.startswith("~"):
        return "~ is not expanded here; write the full path"
    if os.path.isabs(one.value) or os.path.lexists(path):
        return _CHECKS[one.kind](path)
    if one.kind in (MODEL, PARTS, ADAPTER) and resolve.is_repo_id(one.value):
        return _repo_fault(ctx, one)
    return "" if one.kind == MADE else "no such path; write the full path"


def _no_object(text: str) -> str:
    try:
        return "" if isinstance(json.loads(text), dict) else "not a JSON object"
    except (ValueError, RecursionError) as exc:
        return "not JSON: %s" % exc


def _repo_fault(ctx: Context, one: Reference) -> str:
    """Why a server would not find the repository in its cache, or would download it."""
    snapshot = hfcache.find(ctx.site.hf_home, one.value)
    if one.kind == ADAPTER:
        return "the option takes the full path of a folder" + (
            ": %s" % snapshot.path if snapshot else ""
        )
    if snapshot is None:
        return "not in the cache of this host"
    if snapshot.repo_id != one.value:
        return "the cache has it as %s; write it like that" % snapshot.repo_id
    repo = os.path.dirname(os.path.dirname(snapshot.path))
    own = os.path.realpath(snapshot.root) == os.path.realpath(ctx.site.cache_root)
    if not own or not os.path.exists(os.path.join(repo, "refs", "main")):
        return "the server would not find it in its cache; write its path: %s" % snapshot.path
    return "" if one.kind == PARTS else presence.describe_faults(snapshot.path)


def _no_file(path: str) -> str:
    gone = missing_reason(os.path.dirname(path))
    if gone or not os.path.lexists(path):
        return gone or "%s does not exist" % path
    if not os.path.isfile(path):
        return "%s is not a file" % path
    return "" if os.access(path, os.R_OK) else "%s cannot be read: check its owner and mode" % path


def _no_adapter(path: str) -> str:
    """mlx-lm reads these two files (mlx_lm/tuner/utils.py, load_adapters)."""
    return missing_reason(path) or next(
        (why for name in _ADAPTER_FILES for why in [_no_file(os.path.join(path, name))] if why), ""
    )


def _not_makeable(path: str) -> str:
    """The server creates it: its folder must exist and be writable."""
    while not os.path.lexists(path) and not os.path.lexists(os.path.dirname(path)):
        return missing_reason(os.path.dirname(path))
    place = path if os.path.lexists(path) else os.path.dirname(path)
    if not (os.path.isfile(place) or os.path.isdir(place)) and not place.startswith("/dev/"):
        return "%s is neither a file nor a folder" % place
    return (
        ""
        if os.access(place, os.W_OK)
        else "%s cannot be written: check its owner and mode" % place
    )


_CHECKS: Mapping[str, Callable[[str], str]] = {
    FILE: _no_file,
    TEMPLATE: _no_file,
    FOLDER: missing_reason,
    PARTS: missing_reason,
    ADAPTER: _no_adapter,
    MADE: _not_makeable,
    MODEL: presence.describe_faults,
}


def check(ctx: Context, runtime: Runtime, entry: Entry, port: int) -> None:
    """Raise if `args` refer to something missing; for a repository with the download command."""
    faults = rejections(ctx, runtime, entry, port)
    if not faults:
        return
    reasons = [one.reason for one in faults]
    repos = [one.value for one in faults if "not in the cache" in one.reason]
    text = "%s cannot be started: %s" % (entry.name, "; ".join(reasons))
    if repos:
        hint = "download it first: %s" % mlxops_command("pull", repos[0])
        raise ModelMissing(text, hint, entry=entry.name, reasons=reasons, repo_id=repos[0])
    raise Failed(
        text, mlxops_command("set", entry.name, "args="), entry=entry.name, reasons=reasons
    )


def loaded_beside(
    ctx: Context, runtime: Runtime, entry: Entry, port: Optional[int]
) -> Iterator[Beside]:
    """The models and adapters that the server loads beside its model, those that exist."""
    folder = _working_folder(ctx, port)
    for one in references_in(runtime, entry.args):
        path = os.path.join(folder, one.value)
        if one.kind == MODEL and not os.path.lexists(path):
            snapshot = hfcache.find(ctx.site.hf_home, one.value)
            path = snapshot.path if snapshot else path
        if one.kind in (MODEL, ADAPTER) and os.path.isdir(path):
            yield Beside(one, path)


def adapter_bytes(path: str) -> Optional[int]:
    try:
        return os.path.getsize(os.path.join(path, _ADAPTER_FILES[1]))
    except OSError:
        return None
