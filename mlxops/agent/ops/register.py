"""register: add an entry to the registry."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional

from ..catalog.local_folders import label_of
from ..context import Context
from ..errors import AssignmentConflict, ModelMissing, Usage, mlxops_command
from ..jobs.reservations import require_unreserved
from ..load.acceptance import require_acceptable
from ..load.presence import describe_faults
from ..models import cache as hfcache
from ..models.field_values import assignments, parse_folder, parse_hosts
from ..models.kinds import CHAT, kind_of
from ..models.location import folder_identity, missing_reason, same_repo
from ..models.options import find_installed, launch_options
from ..ports.portname import find_slot
from ..registry import resolve
from ..registry.entries import REQUIRED, Entry, Registry
from ..registry.init_plan import Change, apply, free_name
from ..runtimes.secrets import refuse_secrets
from ..slots.intent import is_local, plan_warnings
from .rows import change_row, elsewhere

OPTIONS = ("chat_template", "tool_call_parser", "reasoning_parser", "runtime", "revision")


def register(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Add one entry, or with `slots` every model planned in the host file. Existing entries do not
    change."""
    again = bool(args.get("again"))
    if args.get("slots"):
        entries = _entries_from_slots(ctx)
    else:
        entries = [_entry_from_args(ctx, args)]
        given = [key for key in (*OPTIONS, "args", "hosts") if args.get(key)]
        _require_no_slot_name(ctx, entries[0])
        _require_new(ctx.store.read(), entries[0], given, again)
        require_acceptable(ctx, None, entries[0])
    result = _add(ctx, entries, again, bool(args.get("dry_run")))
    known = ctx.store.read()
    # An entry of the model that was there before, under another name, has got the slot.
    stored = [e if again else (_of_same_model(known, e) or [e])[0] for e in entries]
    warnings = [text for e in stored for text in plan_warnings(ctx.site, known, e)]
    warnings += ["%s: %s" % (e.name, why) for e in entries for why in [_lack(ctx, e)] if why]
    return {**result, "warnings": list(dict.fromkeys(warnings))}


def _entries_from_slots(ctx: Context) -> List[Entry]:
    """No entry gets the name of a slot, as that names a port."""
    known, entries = ctx.store.read(), []
    for slot in ctx.site.slots.values():
        if slot.model and is_local(known, slot.model):
            entries.append(known.entries[slot.model].with_fields(slot=slot.port))
        elif slot.model and not resolve.is_repo_id(slot.model):
            text = "slots.%d.model is %r, which is neither org/name nor a local entry"
            hint = mlxops_command("register", slot.model, "--path", "DIR")
            raise Usage(text % (slot.port, slot.model), hint, key="slots.%d.model" % slot.port)
        elif slot.model:
            name = free_name(known, slot.model, ctx.site.slot_names)
            entries.append(_entry(ctx, name, slot.model, {"slot": slot.port}))
            known = known.put(entries[-1])
    return entries


def _entry_from_args(ctx: Context, args: Mapping[str, Any]) -> Entry:
    repo_id, name = str(args.get("repo") or ""), str(args.get("name") or "")
    fields = _given_fields(ctx, args)
    if args.get("path"):
        return _local_entry(ctx, name, str(args["path"]), fields)
    if not resolve.is_repo_id(repo_id):
        raise Usage(
            "%r is not of the form org/name" % repo_id,
            "mlxops register NAME org/name, or for a folder: mlxops register NAME --path DIR",
            repo=repo_id,
        )
    resolve.require_valid_name(name)
    return _entry(ctx, name, repo_id, fields)


def _given_fields(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    fields = {key: args[key] for key in OPTIONS if args.get(key)}
    if args.get("slot") is not None:
        fields["slot"] = ctx.site.require_port(args["slot"])
    if args.get("args"):
        refuse_secrets(list(args["args"]))
        fields["args"] = list(args["args"])
    if args.get("hosts"):
        fields["hosts"] = parse_hosts(list(args["hosts"]))
    return fields


def _local_entry(ctx: Context, name: str, path: str, fields: Mapping[str, Any]) -> Entry:
    """A new entry for a folder outside of the Hub's cache, which has no repository."""
    path = parse_folder(path, "--path")
    _require_local_model(ctx, path)
    known = ctx.store.read()
    if not name:
        here = _at(known, folder_identity(path))
        label = label_of(path).rpartition("/")[2]
        name = here[0].name if here else free_name(known, label, ctx.site.slot_names)
    resolve.require_valid_name(name)
    entry = Entry(name, {**REQUIRED, "cache_path": path, **fields})
    return launch_options(ctx.site, entry, find_installed(ctx, entry.text("runtime"))).entry


def _require_local_model(ctx: Context, path: str) -> None:
    """ModelMissing or Usage unless the folder holds a complete model that no cache manages."""
    gone = missing_reason(path)
    if gone:
        raise ModelMissing(gone, "--path is a folder on %s; quote a ~" % ctx.site.name, path=path)
    repo_id = hfcache.repo_of(path)
    if repo_id:
        revision = os.path.basename(os.path.realpath(path))
        command = mlxops_command("register", "NAME", repo_id, "--revision", revision)
        raise Usage("%s is a snapshot of %s in a Hub cache" % (path, repo_id), command, path=path)
    try:
        snapshot = hfcache.inspect(path)
    except OSError as exc:
        raise ModelMissing("%s cannot be read: %s" % (path, exc.strerror), path=path) from exc
    if snapshot.format == "gguf":
        raise Usage(
            "%s has GGUF weights, which MLX servers cannot load" % path,
            "find an MLX conversion of it: mlxops search WORDS",
            path=path,
        )
    if not snapshot.complete:
        raise ModelMissing(
            "%s is not a complete model: %s" % (path, "; ".join(snapshot.fault_texts[:3])),
            "restore its files; or is the model in another folder?",
            path=path,
        )
    kind = kind_of(path, label_of(path))
    if kind.name != CHAT:
        ctx.client.emit("warning", message="%s is %s" % (path, kind.reason))


def _at(registry: Registry, folder: str) -> List[Entry]:
    """The entries of a folder."""
    return [e for e in registry.entries.values() if folder == folder_identity(e.cache_path)]


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


def _lack(ctx: Context, entry: Entry) -> str:
    """What is wrong with the files that the cache has of a new entry; "" if nothing is."""
    if entry.cache_path:
        return ""
    found = hfcache.find(ctx.site.hf_home, entry.repo_id, entry.text("revision"))
    faults = describe_faults(found.path) if found is not None else ""
    return elsewhere(ctx, entry) or faults


def _require_new(registry: Registry, entry: Entry, keys: List[str], again: bool) -> None:
    """AssignmentConflict if the model has another name, the name another model, or if given values
    would be ignored. `again`: a second entry of the model is meant."""
    known = _of_same_model(registry, entry)
    there = next((e for e in known if e.name == entry.name), None)
    if there is None and (known and not again):
        raise AssignmentConflict(
            "%s was not added: %s is already registered as %s"
            % (entry.name, entry.repo_id or entry.cache_path, known[0].name),
            "to rename it: %s; or add --again for a second entry of the model"
            % mlxops_command("rename", known[0].name, entry.name),
            entry=known[0].name,
        )
    if there is None:
        _require_unused(registry, entry)
        return
    lost = [key for key in keys if there.fields.get(key) != entry.fields.get(key)]
    if lost:
        raise AssignmentConflict(
            "%s is already registered with another %s" % (there.name, " and ".join(lost)),
            mlxops_command("set", there.name, *assignments(entry, lost)),
            entry=there.name,
            keys=lost,
        )


def _require_unused(registry: Registry, entry: Entry) -> None:
    """AssignmentConflict if another entry has the name, in whatever case."""
    for other in registry.entries.values():
        if other.name.lower() == entry.name.lower():
            text = "%s was not added: the name is already used for %s"
            where = other.repo_id or other.cache_path
            hint = mlxops_command("show", other.name)
            raise AssignmentConflict(text % (entry.name, where), hint, entry=other.name)


def _require_no_slot_name(ctx: Context, entry: Entry) -> None:
    """AssignmentConflict if the name is that of a port where the entry is not planned."""
    slot = find_slot(ctx.site, entry.name)
    if slot is None or slot.port == entry.slot:
        return
    text = "%s was not added: %s is the slot of port %d" % (entry.name, slot.name, slot.port)
    hint = "choose a name that is not the name of a port"
    raise AssignmentConflict(text, hint, entry=entry.name, port=slot.port)


def _of_same_model(registry: Registry, entry: Entry) -> List[Entry]:
    """The entries of this repository or folder, however they spell it."""
    folder = folder_identity(entry.cache_path)
    here = {e.name for e in _at(registry, folder)} if folder else set()
    return [
        e
        for e in registry.entries.values()
        if same_repo(e.repo_id, entry.repo_id) or e.name in here
    ]


def _add(ctx: Context, entries: List[Entry], again: bool, dry: bool) -> Dict[str, Any]:
    actions: List[Dict[str, Any]] = []

    def change(current: Registry) -> Registry:
        actions.clear()
        for entry in entries:
            step = _plan_change(current, entry, again)
            require_unreserved(ctx, [step.entry.name] if step.entry else [])
            actions.append(change_row(step, applied=not dry))
            current = apply(current, [step])
        return current

    if dry:
        change(ctx.store.read())
    else:
        ctx.store.edit("register " + ", ".join(e.name for e in entries), change)
    return {"actions": actions, "drift": []}


def _plan_change(current: Registry, entry: Entry, again: bool) -> Change:
    """What registering one entry does to the registry."""
    namesake = current.entries.get(entry.name)
    same = [namesake] if namesake else [] if again else _of_same_model(current, entry)
    if not same:
        return _change("add", entry, entry.repo_id or entry.cache_path, entry)
    there = same[0]
    slot = entry.slot
    if slot not in (None, there.slot) and there in _of_same_model(current, entry):
        return _change("plan", there, "slot %d" % slot, there.with_fields(slot=slot))
    text = "%s is already registered" % (there.repo_id or there.cache_path)
    if there.name != entry.name:
        text = "%s was not added: %s as %s" % (entry.name, text, there.name)
    return _change("keep", there, text, None)


def _change(action: str, there: Entry, reason: str, entry: Optional[Entry]) -> Change:
    return Change(action=action, name=there.name, port=there.port, reason=reason, entry=entry)
