"""set, remove: change entries without touching servers."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Mapping, Sequence

from ..context import Context
from ..errors import AssignmentConflict, Usage, mlxops_command
from ..jobs.reservations import require_unreserved
from ..load.acceptance import CHECKED, require_acceptable
from ..load.presence import describe_faults
from ..load.references import with_full_paths
from ..models import cache as hfcache
from ..models.defaults import KEYS, find_defaults
from ..models.field_values import parse_field, show_field
from ..models.location import folder_identity, same_repo
from ..models.options import find_installed
from ..registry import resolve
from ..registry.action import Action
from ..registry.entries import Entry, Registry, coerce
from ..runtimes.secrets import refuse_secrets
from ..slots.intent import plan_warnings
from ..storage.judge import Item
from ..storage.prune import prune_items, require_unused
from .rows import entry_row

# The fields that a server is started with.
_LAUNCHED = (*CHECKED, "cache_path", "revision")


def set_fields(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    given = args["changes"]
    known = resolve.require_exact(ctx.store.read(), str(args["name"]))
    name = known.name
    if "name" in given:
        hint = mlxops_command("rename", name, given["name"] or "NEW")
        raise Usage("the name of an entry cannot be set", hint, key="name")
    changes = {key: parse_field(ctx, key, value) for key, value in given.items()}
    refuse_secrets(changes.get("args") or ())
    if changes.get("args"):
        runtime = ctx.site.runtime_named(changes.get("runtime", known.text("runtime")))
        changes["args"] = with_full_paths(runtime, changes["args"])
    changed = _changed(ctx, known, changes, given)
    if not changed.repo_id and not changed.cache_path:
        text = "%s would have neither a repository nor a folder" % name
        raise Usage(text, mlxops_command("set", name, "cache_path=/PATH"), entry=name)
    if set(changes) & set(CHECKED):
        require_acceptable(ctx, known, changed)

    def change(current: Registry) -> Registry:
        entry = resolve.require_exact(current, name)
        require_unreserved(ctx, [name])
        if changes.get("cache_path"):
            changes["cache_path"] = _spelling(current, entry, changes["cache_path"])
        return current.put(_changed(ctx, entry, changes, given))

    result = _apply_change(ctx, name, "set " + name, change, bool(args.get("dry_run")))
    warnings = plan_warnings(ctx.site, ctx.store.read(), changed) if "slot" in changes else []
    restart = result["actions"] and known.port is not None and set(changes) & set(_LAUNCHED)
    step = mlxops_command("restart", known.port) if restart else None
    if changed.cache_path and {"cache_path", "revision"} & set(changes):
        warnings += filter(None, [describe_faults(changed.cache_path)])
    return {**result, "next": step, "warnings": warnings}


def _changed(
    ctx: Context, entry: Entry, changes: Mapping[str, Any], given: Mapping[str, Any]
) -> Entry:
    """The entry with the changes. `given`: as typed; a key without a value gets its default."""
    changed = entry.with_fields(**changes)
    if "repo_id" in changes and entry.model_id == entry.repo_id and "model_id" not in changes:
        changed = changed.with_fields(model_id=changed.repo_id)
    moved = "revision" in changes and "cache_path" not in changes
    if moved or ("cache_path" in changes and not changes["cache_path"]):
        changed = _at_revision(ctx, changed)
    reset = [key for key in KEYS if key in given and not given[key]]
    if reset:
        changed = _with_family_defaults(ctx, changed, reset)
    return coerce(entry.name, dict(changed.fields))._replace(stored=entry.stored)


def _with_family_defaults(ctx: Context, entry: Entry, keys: Sequence[str]) -> Entry:
    """The entry with the defaults of its family for these keys, as `init` sets them. What is not
    known now is left to the next load."""
    installed = find_installed(ctx, entry.text("runtime"))
    values = find_defaults(installed, entry, ctx.site.templates).values
    filled = entry.with_fields(**{key: values.get(key) for key in keys})
    # A server would lose the content of answers.
    alone = filled.text("reasoning_parser") and not filled.text("tool_call_parser")
    return filled.with_fields(reasoning_parser=None) if alone else filled


def _at_revision(ctx: Context, entry: Entry) -> Entry:
    """The entry with the snapshot of its revision, or without a path if that is not here: its next
    load downloads it. A folder outside of the cache stays."""
    path, revision = entry.cache_path, entry.text("revision")
    if not resolve.is_repo_id(entry.repo_id) or (
        path and not same_repo(hfcache.repo_of(path), entry.repo_id)
    ):
        return entry
    beside = hfcache.sibling_snapshot(path, entry.repo_id, revision or "main")
    snapshot = hfcache.find(ctx.site.hf_home, entry.repo_id, revision)
    there = beside or (snapshot.path if snapshot else "")
    return entry.with_fields(cache_path=there if hfcache.is_complete(there) else "")


def _spelling(current: Registry, entry: Entry, path: str) -> str:
    """The path as the entry spells it already, if it is the same folder; AssignmentConflict if it
    is the folder of another entry."""
    folder = folder_identity(path)
    if folder and folder == folder_identity(entry.cache_path):
        return entry.cache_path
    for other in current.entries.values():
        if folder and other.name != entry.name and folder == folder_identity(other.cache_path):
            raise AssignmentConflict(
                "%s is the folder of %s" % (path, other.name),
                mlxops_command("show", other.name),
                entry=other.name,
            )
    return path


def remove(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Remove an entry; with `files` also its snapshot, unless something else uses that."""
    target = resolve.require_exact(ctx.store.read(), str(args["name"]))
    name, dry = target.name, bool(args.get("dry_run"))
    files = target.cache_path if target.cache_path and os.path.isdir(target.cache_path) else None
    size = hfcache.size_bytes(files) if files else None
    snapshot = _unused_snapshot(ctx, target) if args.get("files") else None

    def change(current: Registry) -> Registry:
        entry = resolve.require_exact(current, name)
        require_unreserved(ctx, [name])
        _require_unassigned(entry)
        return current.drop(name)

    result = _apply_change(ctx, name, "remove " + name, change, dry)
    pruned = prune_items(ctx, [snapshot]) if snapshot and not dry else []
    return {
        **result,
        "entry": name,
        "repo_id": target.repo_id,
        "files": files,
        "size_bytes": size,
        "with_files": bool(args.get("files")),
        "pruned": [one.to_wire() for one in pruned],
    }


def _require_unassigned(entry: Entry) -> None:
    if entry.port is not None:
        text = "%s is assigned to port %d" % (entry.name, entry.port)
        hint = mlxops_command("unload", entry.port)
        raise AssignmentConflict(text, hint, entry=entry.name, port=entry.port)


def _unused_snapshot(ctx: Context, entry: Entry) -> Item:
    """The entry's snapshot, which nothing else uses; Failed otherwise."""
    _require_unassigned(entry)
    return require_unused(ctx, ctx.store.read().drop(entry.name), entry.name, entry.cache_path)


def _apply_change(
    ctx: Context, name: str, why: str, change: Callable[[Registry], Registry], dry: bool
) -> Dict[str, Any]:
    before = ctx.store.read()
    after = change(before) if dry else ctx.store.edit(why, change)
    old, new = before.entries.get(name), after.entries.get(name)
    was, now = (old.fields if old else {}), (new.fields if new else {})
    keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    reasons = [
        "%s: %s -> %s" % (key, *(show_field(key, fields.get(key)) for fields in (was, now)))
        for key in keys
    ]
    actions = [Action("set", name, None, reason, applied=not dry) for reason in reasons]
    return {
        "entry": entry_row(new) if new else name,
        "changed": bool(actions) and not dry,
        "actions": [action.to_wire() for action in actions],
    }
