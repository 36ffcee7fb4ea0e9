"""The models that `init` may add: complete MLX chat models that the host's runtime can build. What
is left out comes with what it is."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from ..context import Context
from ..errors import Failed, mlxops_command
from ..models import cache as hfcache
from ..models.files import config
from ..models.kinds import CHAT, is_vision, kind_of
from ..models.location import folder_identity
from ..models.options import (
    LaunchOptions,
    find_installed,
    launch_options,
    require_servable,
)
from ..programs.installed import Installed
from ..registry.entries import REQUIRED, Entry, Registry
from .buildable import Loaders
from .local_folders import LocalModel, find_models, missing_dirs

# Kinds of their own in `skipped`.
GGUF, UNCONVERTED, COPY, VISION, UNSUPPORTED = (
    "gguf",
    "unconverted",
    "copy",
    "vision",
    "unsupported",
)


class Candidate(NamedTuple):
    """A model to add, with the options that it would start with. `notes`: what is missing."""

    label: str
    snapshot: hfcache.Snapshot
    chosen: LaunchOptions
    notes: Tuple[str, ...]


class Skipped(NamedTuple):
    """A model that is left out. `kind`: that of models/kinds.py, or one of the constants above."""

    model: str
    path: str
    kind: str
    reason: str


class Candidates(NamedTuple):
    models: Tuple[Candidate, ...]
    skipped: Tuple[Skipped, ...]


def find_candidates(ctx: Context, registry: Registry) -> Candidates:
    """The models of the cache, then those of `model_dirs`. Warns of incomplete ones and of folders
    that are gone. A model that has an entry is not judged again."""
    snapshots = hfcache.scan(ctx.site.hf_home)
    found = [
        *(LocalModel(snapshot.repo_id, snapshot) for snapshot in snapshots),
        *find_models(ctx.site.model_dirs, [snapshot.path for snapshot in snapshots]),
    ]
    _warn(ctx, registry, found)
    known, models, skipped = _Registered(registry), [], []
    there = find_installed(ctx, None)
    loaders = Loaders(ctx, there)
    copies: Set[str] = set()
    for one in found:
        left_out = _left_out(one)
        if left_out is None and not one.snapshot.complete:
            continue
        if left_out is None and one.label.lower() in copies:
            if one.snapshot.repo_id:
                continue  # the first complete copy in the cache counts
            left_out = _skip(one, COPY, "another copy of %s" % one.label)
        if left_out is None:
            copies.add(one.label.lower())
            judged = _judge(ctx, one, loaders, known.has(one.snapshot))
            if isinstance(judged, Candidate):
                models.append(judged)
                continue
            left_out = judged
        if not known.has(one.snapshot):
            skipped.append(left_out)
    if models and there.flags is None:
        text = "%s does not list its options: no parsers are proposed" % there.runtime.name
        ctx.client.emit("warning", message=text)
    return Candidates(tuple(models), tuple(skipped))


class _Registered:
    """Which snapshots have an entry."""

    def __init__(self, registry: Registry) -> None:
        entries = registry.entries.values()
        self._repos = {entry.repo_id.lower() for entry in entries if entry.repo_id}
        self._places = {folder_identity(entry.cache_path) for entry in entries}

    def has(self, snapshot: hfcache.Snapshot) -> bool:
        return (
            snapshot.repo_id.lower() in self._repos
            or folder_identity(snapshot.path) in self._places
        )


def _left_out(one: LocalModel) -> Optional[Skipped]:
    """What the files show it to be, if that is not an MLX chat model."""
    snapshot = one.snapshot
    if snapshot.format == GGUF:
        return _skip(one, GGUF, "GGUF weights, which no MLX server loads")
    kind = kind_of(snapshot.path, one.label)
    if kind.name != CHAT:
        return _skip(one, kind.name, kind.reason)
    if snapshot.format == "mlx" or not snapshot.complete:
        return None
    name = snapshot.repo_id or "--path %s" % snapshot.path
    reason = "not converted to MLX; if a server can load it anyway: mlxops register NAME %s" % name
    return _skip(one, UNCONVERTED, reason)


def _skip(one: LocalModel, kind: str, reason: str) -> Skipped:
    return Skipped(one.label, one.snapshot.path, kind, reason)


def _judge(
    ctx: Context, one: LocalModel, loaders: Loaders, registered: bool
) -> Union[Candidate, Skipped]:
    snapshot, there = one.snapshot, loaders.there
    entry = Entry("", {**REQUIRED, "repo_id": snapshot.repo_id, "cache_path": snapshot.path})
    chosen = launch_options(ctx.site, entry, there)
    settings = config(snapshot.path)
    refusal = "" if registered else loaders.refusal(chosen.entry, settings)
    if refusal:
        return _skip(one, VISION if is_vision(settings) else UNSUPPORTED, refusal)
    cautions = [one.note for one in chosen.cautions]
    notes = (*chosen.defaults.notes, *cautions, *_load_error(ctx, chosen, there))
    return Candidate(one.label, snapshot, chosen, notes)


def _load_error(ctx: Context, chosen: LaunchOptions, there: Installed) -> Iterator[str]:
    """It is added anyway: what is missing can be set."""
    try:
        require_servable(ctx.site, chosen._replace(cautions=()), there)
    except Failed as exc:
        yield "load will refuse it: " + exc.message


def unlisted_revisions(ctx: Context, entries: Iterable[Entry]) -> Dict[str, Tuple[str, ...]]:
    """repo_id -> the commands that load its complete revisions, of chat models that no load finds
    without --revision, as refs/main names no complete snapshot; () if an entry has one of them."""
    used = {folder_identity(entry.cache_path) for entry in entries if entry.cache_path}
    commands: Dict[str, Tuple[str, ...]] = {}
    for repo_id, found in hfcache.other_revisions(ctx.site.hf_home).items():
        chat = [s for s in found if s.format == "mlx" and kind_of(s.path, repo_id).name == CHAT]
        if chat:
            known = any(folder_identity(s.path) in used for s in chat)
            commands[repo_id] = () if known else hfcache.load_commands(repo_id, "PORT", chat)
    return commands


def _warn(ctx: Context, registry: Registry, found: List[LocalModel]) -> None:
    gone = hfcache.broken_repos(ctx.site.hf_home)
    others = unlisted_revisions(ctx, registry.entries.values())
    for one in found:
        if one.snapshot.repo_id not in {**gone, **others}:
            _warn_if_incomplete(ctx, one)
    for repo_id, why in gone.items():
        ctx.client.emit("warning", message="skipping %s: %s" % (repo_id, why))
    for repo_id, commands in others.items():
        if commands:
            text = "skipping %s: refs/main is not complete here, another revision is: %s"
            ctx.client.emit("warning", message=text % (repo_id, " or ".join(commands)))
    for why in missing_dirs(ctx.site.model_dirs):
        ctx.client.emit("warning", message="skipping a folder of model_dirs: %s" % why)


def _warn_if_incomplete(ctx: Context, one: LocalModel) -> None:
    """Warn about an incomplete snapshot that may be a chat model."""
    snapshot = one.snapshot
    if snapshot.complete or _left_out(one):
        return
    shown, more = "; ".join(snapshot.fault_texts[:3]), len(snapshot.missing) - 3
    text = "skipping %s: %s" % (one.label, shown) + ("; and %d more" % more if more > 0 else "")
    if snapshot.root and "its weights are" not in shown:
        text += "; to complete it: " + mlxops_command("pull", snapshot.repo_id)
    ctx.client.emit("warning", message=text)
