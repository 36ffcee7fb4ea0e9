"""register, set, remove: change entries without touching servers."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import AssignmentConflict, Failed, Usage, mlxops_command
from ..jobs.reservations import require_unreserved
from ..models import cache as hfcache
from ..models.field_values import parse_field, parse_hosts, show_field
from ..models.location import folder_identity, same_repo
from ..models.options import find_installed, launch_options
from ..programs.find import find_command
from ..registry import resolve
from ..registry.action import Action
from ..registry.entries import REQUIRED, Entry, Registry, coerce
from ..registry.init_plan import Change, apply
from .rows import change_row, entry_row

OPTIONS = ("chat_template", "tool_call_parser", "reasoning_parser", "runtime", "revision")


def register(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Add one entry, or with `slots` every model planned in the host file. Existing entries do not
    change."""
    entries = _entries_from_slots(ctx) if args.get("slots") else [_entry_from_args(ctx, args)]
    if not args.get("slots"):
        _require_new(
            ctx.store.read(),
            entries[0],
            [key for key in (*OPTIONS, "args", "hosts") if args.get(key)],
        )
        _warn_if_not_installed(ctx, args.get("runtime"))
    return _add(ctx, entries, bool(args.get("dry_run")))


def _entries_from_slots(ctx: Context) -> List[Entry]:
    slots = [s for s in ctx.site.slots.values() if s.model]
    return [_entry(ctx, s.name, s.model or "", {"slot": s.port}) for s in slots]


def _entry_from_args(ctx: Context, args: Mapping[str, Any]) -> Entry:
    repo_id = str(args["repo"])
    if not resolve.is_repo_id(repo_id):
        raise Usage(
            "%r is not of the form org/name" % repo_id,
            "mlxops register NAME org/name",
            repo=repo_id,
        )
    name = str(args["name"])
    resolve.require_valid_name(name)
    fields = {key: args[key] for key in OPTIONS if args.get(key)}
    if args.get("slot") is not None:
        fields["slot"] = ctx.site.require_port(args["slot"])
    if args.get("args"):
        fields["args"] = list(args["args"])
    if args.get("hosts"):
        fields["hosts"] = parse_hosts(list(args["hosts"]))
    return _checked(ctx, _entry(ctx, name, repo_id, fields))


def _entry(ctx: Context, name: str, repo_id: str, fields: Mapping[str, Any]) -> Entry:
    """A new entry; if its snapshot is on disk, with path and the defaults of its family."""
    repo_id = hfcache.name_in_cache(ctx.site.hf_home, ctx.site.cache_root, repo_id)
    snapshot = hfcache.find(ctx.site.hf_home, repo_id, fields.get("revision"))
    whole = snapshot is not None and snapshot.complete
    path = snapshot.path if snapshot is not None and whole else ""
    entry = Entry(
        name, {**REQUIRED, "repo_id": repo_id, "model_id": repo_id, "cache_path": path, **fields}
    )
    return launch_options(ctx.site, entry, find_installed(ctx, entry.text("runtime"))).entry


def _require_new(registry: Registry, entry: Entry, keys: List[str]) -> None:
    """AssignmentConflict if the model has another name, the name another model, or if given values
    would be ignored."""
    known = _of_same_model(registry, entry)
    lost = [key for key in keys if known and known[0].fields.get(key) != entry.fields.get(key)]
    if lost:
        raise AssignmentConflict(
            "%s is already registered as %s with another %s"
            % (entry.repo_id, known[0].name, " and ".join(lost)),
            mlxops_command("set", known[0].name, "KEY=VALUE"),
            entry=known[0].name,
            keys=lost,
        )
    if known and entry.name not in [e.name for e in known]:
        renamed = mlxops_command("register", entry.name, entry.repo_id)
        raise AssignmentConflict(
            "%s was not added: %s is already registered as %s"
            % (entry.name, entry.repo_id, known[0].name),
            "to rename it: %s && %s" % (mlxops_command("remove", known[0].name), renamed),
            entry=known[0].name,
        )
    namesake = registry.entries.get(entry.name)
    if namesake is not None and not same_repo(namesake.repo_id, entry.repo_id):
        raise AssignmentConflict(
            "the name %s is already used for %s" % (entry.name, namesake.repo_id),
            mlxops_command("set", entry.name, "KEY=VALUE"),
            entry=entry.name,
        )


def _of_same_model(registry: Registry, entry: Entry) -> List[Entry]:
    """The entries of this repository or folder, however they spell it."""
    folder = folder_identity(entry.cache_path)
    return [
        e
        for e in registry.entries.values()
        if same_repo(e.repo_id, entry.repo_id)
        or (folder and folder == folder_identity(e.cache_path))
    ]


def _add(ctx: Context, entries: List[Entry], dry: bool) -> Dict[str, Any]:
    actions: List[Dict[str, Any]] = []

    def change(current: Registry) -> Registry:
        actions.clear()
        for entry in entries:
            step = _plan_change(current, entry)
            require_unreserved(ctx, [step.entry.name] if step.entry else [])
            actions.append(change_row(step, applied=not dry))
            current = apply(current, [step])
        return current

    if dry:
        change(ctx.store.read())
    else:
        ctx.store.edit("register " + ", ".join(e.name for e in entries), change)
    return {"actions": actions, "drift": []}


def _plan_change(current: Registry, entry: Entry) -> Change:
    """What registering one entry does to the registry."""
    namesake = current.entries.get(entry.name)
    same = _of_same_model(current, entry) or ([namesake] if namesake else [])
    if not same:
        return _change("add", entry, entry.repo_id, entry)
    there = same[0]
    slot = entry.slot
    if slot not in (None, there.slot) and same_repo(there.repo_id, entry.repo_id):
        return _change("plan", there, "slot %d" % slot, there.with_fields(slot=slot))
    text = "%s is already registered" % there.repo_id
    if there.name != entry.name:
        text = "%s was not added: %s as %s" % (entry.name, text, there.name)
    return _change("keep", there, text, None)


def _change(action: str, there: Entry, reason: str, entry: Optional[Entry]) -> Change:
    return Change(action=action, name=there.name, port=there.port, reason=reason, entry=entry)


def set_fields(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    name = resolve.require_exact(ctx.store.read(), str(args["name"])).name
    changes = {key: parse_field(ctx, key, value) for key, value in args["changes"].items()}
    _warn_if_not_installed(ctx, changes.get("runtime"))

    def change(current: Registry) -> Registry:
        entry = resolve.require_exact(current, name)
        require_unreserved(ctx, [name])
        if "cache_path" in changes:
            changes["cache_path"] = _spelling(current, entry, changes["cache_path"])
        changed = entry.with_fields(**changes)
        if "revision" in changes and "cache_path" not in changes:
            changed = _at_revision(ctx, changed)
        return current.put(_checked(ctx, changed))

    return _apply_change(ctx, name, "set " + name, change, bool(args.get("dry_run")))


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
    target = resolve.require_exact(ctx.store.read(), str(args["name"]))
    name = target.name

    def change(current: Registry) -> Registry:
        entry = resolve.require_exact(current, name)
        require_unreserved(ctx, [name])
        if entry.port is not None:
            text, hint = (
                "%s is assigned to port %d" % (name, entry.port),
                "mlxops unload %d" % entry.port,
            )
            raise AssignmentConflict(text, hint, entry=name, port=entry.port)
        return current.drop(name)

    result = _apply_change(ctx, name, "remove " + name, change, bool(args.get("dry_run")))
    files = target.cache_path if target.cache_path and os.path.isdir(target.cache_path) else None
    size = hfcache.size_bytes(files) if files else None
    return {**result, "entry": name, "repo_id": target.repo_id, "files": files, "size_bytes": size}


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


def _warn_if_not_installed(ctx: Context, runtime: Optional[str]) -> None:
    """Emit a warning only, because the runtime may be installed later."""
    if runtime and not find_command(ctx.site, ctx.site.runtime_named(runtime))[0]:
        text = "%s is not installed on %s; until it is, the entry cannot be loaded"
        ctx.client.emit("warning", message=text % (runtime, ctx.site.name))


def _checked(ctx: Context, entry: Entry) -> Entry:
    if entry.text("runtime"):
        ctx.site.runtime_named(entry.text("runtime"))
    template = entry.text("chat_template")
    if template and not os.path.isfile(template):
        raise Failed(
            "there is no file %s on the host" % template,
            "give a path on the host",
            chat_template=template,
        )
    return coerce(entry.name, dict(entry.fields))._replace(stored=entry.stored)
