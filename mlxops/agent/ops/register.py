"""register: add an entry to the registry."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import AssignmentConflict, Usage, mlxops_command
from ..jobs.reservations import require_unreserved
from ..load.acceptance import require_acceptable
from ..models import cache as hfcache
from ..models.field_values import assignments, parse_hosts
from ..models.location import folder_identity, same_repo
from ..models.options import find_installed, launch_options
from ..ports.portname import find_slot
from ..registry import resolve
from ..registry.entries import REQUIRED, Entry, Registry
from ..registry.init_plan import Change, apply, free_name
from ..runtimes.secrets import refuse_secrets
from ..slots.intent import plan_warnings
from .rows import change_row

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
    warnings = [text for e in entries for text in plan_warnings(ctx.site, known, e)]
    return {**result, "warnings": list(dict.fromkeys(warnings))}


def _entries_from_slots(ctx: Context) -> List[Entry]:
    """No entry gets the name of a slot, as that names a port."""
    known, entries = ctx.store.read(), []
    for slot in ctx.site.slots.values():
        if slot.model:
            name = free_name(known, slot.model, ctx.site.slot_names)
            entries.append(_entry(ctx, name, slot.model, {"slot": slot.port}))
            known = known.put(entries[-1])
    return entries


def _entry_from_args(ctx: Context, args: Mapping[str, Any]) -> Entry:
    repo_id, name = str(args["repo"]), str(args["name"])
    if not resolve.is_repo_id(repo_id):
        raise Usage(
            "%r is not of the form org/name" % repo_id,
            "mlxops register NAME org/name",
            repo=repo_id,
        )
    resolve.require_valid_name(name)
    fields = {key: args[key] for key in OPTIONS if args.get(key)}
    if args.get("slot") is not None:
        fields["slot"] = ctx.site.require_port(args["slot"])
    if args.get("args"):
        refuse_secrets(list(args["args"]))
        fields["args"] = list(args["args"])
    if args.get("hosts"):
        fields["hosts"] = parse_hosts(list(args["hosts"]))
    return _entry(ctx, name, repo_id, fields)


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


def _require_new(registry: Registry, entry: Entry, keys: List[str], again: bool) -> None:
    """AssignmentConflict if the model has another name, the name another model, or if given values
    would be ignored. `again`: a second entry of the model is meant."""
    known = _of_same_model(registry, entry)
    there = next((e for e in known if e.name == entry.name), None)
    if there is None and (known and not again):
        raise AssignmentConflict(
            "%s was not added: %s is already registered as %s"
            % (entry.name, entry.repo_id, known[0].name),
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
    return [
        e
        for e in registry.entries.values()
        if same_repo(e.repo_id, entry.repo_id)
        or (folder and folder == folder_identity(e.cache_path))
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
