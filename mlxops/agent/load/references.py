"""The files, folders, adapters and other models that an entry's `args` refer to.

A server opens them during its start, so they are checked before the old server is stopped.
"""

from __future__ import annotations

import json
import os
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..context import Context
from ..errors import Failed, ModelMissing, mlxops_command
from ..memory.fit import ExtraModel
from ..models import cache as hfcache
from ..models import files as modelfiles
from ..models.location import missing_reason
from ..models.rejections import Rejection
from ..registry import resolve
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from . import presence

FILE, FOLDER, ADAPTER, MODEL, MADE, OBJECT = "file", "folder", "adapter", "model", "made", "object"
# Options with several values, separated by commas; each may be NAME=PATH.
MANY = ("--lora-paths", "--lora-modules")
# By runtime: mlx_lm.server 0.32 and mlx-openai-server 1.8 from their sources, vllm from its
# documentation. A runtime of the host file gets all of them.
_LM = {"--adapter-path": ADAPTER, "--draft-model": MODEL, "--chat-template-args": OBJECT}
_OPENAI = {
    "--draft-model-path": MODEL,
    "--draft-model": MODEL,
    "--lora-paths": FILE,
    "--chat-template-file": FILE,
    "--prompt-cache-dir": MADE,
    "--log-file": MADE,
    "--config": FILE,
    "--adapter-path": ADAPTER,
}
_VLLM = {
    "--tokenizer": MODEL,
    "--speculative-model": MODEL,
    "--hf-config-path": FOLDER,
    "--lora-modules": FOLDER,
    "--chat-template": FILE,
    "--tool-parser-plugin": FILE,
    "--download-dir": FOLDER,
    "--ssl-keyfile": FILE,
    "--ssl-certfile": FILE,
    "--config": FILE,
    "--generation-config": FOLDER,
}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "mlx_lm.server": _LM,
    "mlx-openai-server": _OPENAI,
    "vllm": _VLLM,
}
# Values that are keywords instead of paths.
_WORDS = {"--generation-config": ("auto", "vllm")}


class Reference(NamedTuple):
    """One value of an option that refers to something on the host."""

    option: str
    kind: str
    value: str


def references_in(runtime: Runtime, args: Sequence[str]) -> Iterator[Reference]:
    """The references of the options, as `--x y` or `--x=y`."""
    known = OPTIONS.get(runtime.name) or {**_VLLM, **_OPENAI, **_LM}
    for word, after in zip(args, [*args[1:], None]):
        option, equals, value = word.partition("=")
        text = value if equals else after
        if option not in known or text is None or (not equals and text.startswith("--")):
            continue
        for one in text.split(",") if option in MANY else [text]:
            path = (
                one.strip().partition("=")[2]
                if option == "--lora-modules" and "=" in one
                else one.strip()
            )
            if path not in _WORDS.get(option, ()):
                yield Reference(option, known[option], path)


def rejections(ctx: Context, runtime: Runtime, entry: Entry, port: int) -> Tuple[Rejection, ...]:
    """The references to things that are missing. Relative paths start at the server's working
    folder."""
    folder = os.path.join(ctx.site.state_dir, "run", str(port))
    faults: List[Rejection] = []
    for one in references_in(runtime, entry.args):
        why = _fault(ctx, one, folder)
        if why:
            faults.append(Rejection("args", one.value, "%s %s: %s" % (one.option, one.value, why)))
    return tuple(faults)


def _fault(ctx: Context, one: Reference, folder: str) -> str:
    if one.kind == OBJECT:
        return _no_object(one.value)
    path = os.path.join(folder, one.value)
    if one.value.startswith("~"):
        return "~ is not expanded here; write the full path"
    if one.kind == MODEL and not os.path.lexists(path) and resolve.is_repo_id(one.value):
        return "" if _snapshot(ctx, one.value) else "not in the cache of this host"
    if one.kind == MODEL:
        return presence.describe_faults(path)
    return {FILE: _no_file, FOLDER: missing_reason, ADAPTER: _no_adapter, MADE: _not_makeable}[
        one.kind
    ](path)


def _no_object(text: str) -> str:
    try:
        return "" if isinstance(json.loads(text), dict) else "not a JSON object"
    except (ValueError, RecursionError) as exc:
        return "not JSON: %s" % exc


def _no_file(path: str) -> str:
    gone = missing_reason(os.path.dirname(path))
    if gone or not os.path.lexists(path):
        return gone or "%s does not exist" % path
    if not os.path.isfile(path):
        return "%s is not a file" % path
    return "" if os.access(path, os.R_OK) else "%s cannot be read: check its owner and mode" % path


def _no_adapter(path: str) -> str:
    """mlx-lm reads these two files (mlx_lm/tuner/utils.py, load_adapters)."""
    names = ("adapter_config.json", "adapters.safetensors")
    return missing_reason(path) or next(
        (why for name in names for why in [_no_file(os.path.join(path, name))] if why), ""
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


def _snapshot(ctx: Context, repo_id: str) -> Optional[hfcache.Snapshot]:
    snapshot = hfcache.find(ctx.site.hf_home, repo_id)
    return snapshot if snapshot is not None and snapshot.complete else None


def check(ctx: Context, runtime: Runtime, entry: Entry, port: int) -> None:
    """Raise if `args` refer to something missing; for a repository with the download command."""
    faults = rejections(ctx, runtime, entry, port)
    if not faults:
        return
    reasons = [one.reason for one in faults]
    repos = [
        one.value
        for one in faults
        if resolve.is_repo_id(one.value) and "not in the cache" in one.reason
    ]
    text = "%s cannot be started: %s" % (entry.name, "; ".join(reasons))
    if repos:
        hint = "download it first: %s" % mlxops_command("pull", repos[0])
        raise ModelMissing(text, hint, entry=entry.name, reasons=reasons, repo_id=repos[0])
    raise Failed(
        text, mlxops_command("set", entry.name, "args="), entry=entry.name, reasons=reasons
    )


def extra_models(
    ctx: Context, runtime: Runtime, entry: Entry, port: Optional[int]
) -> Tuple[ExtraModel, ...]:
    """The other models that the server loads, for the memory estimate."""
    folder = os.path.join(ctx.site.state_dir, "run", str(port or 0))
    models_by_path: Dict[str, ExtraModel] = {}
    for one in references_in(runtime, entry.args):
        if one.kind != MODEL or one.option == "--tokenizer":
            continue
        path = os.path.join(folder, one.value)
        snapshot = None if os.path.lexists(path) else _snapshot(ctx, one.value)
        path = snapshot.path if snapshot else path
        weights = hfcache.weights_bytes(path)
        if weights is not None:
            models_by_path[path] = ExtraModel(weights, modelfiles.config(path))
    return tuple(models_by_path.values())
