"""show: an entry, or a port with its entry, and the command line that starts it."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..context import Context
from ..errors import MlxopsError
from ..jobs.job import logs_folder
from ..jobs.log import last_loads
from ..models.completeness import find_faults, remember_damage
from ..models.options import find_installed, launch_options
from ..ports.portname import PortResolver, find_slot, report_meaning
from ..ports.survey import observe_ports
from ..programs.installed import Installed
from ..registry import resolve
from ..registry.entries import Entry, Registry
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of
from ..runtimes.secrets import masked
from .port_rows import port_row
from .rows import describe_gaps, elsewhere, entry_row, fault_fields

NOTHING: Dict[str, Any] = {"command": None, "sources": None, "choices": None, "notes": []}
PARSERS = ("tool_call_parser", "reasoning_parser")


def show(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry, fault = ctx.store.read_or_backup()
    what = str(args["what"])
    port, entry = _resolve(ctx, registry, what)
    return {
        "entry": _entry(ctx, entry) if entry else None,
        "port": _port(ctx, registry, port) if port in ctx.site.ports else None,
        **_last_loads(ctx, port, entry),
        **(_start_command(ctx, entry) if entry else NOTHING),
        **(fault_fields(registry, fault) if fault else {}),
    }


def _resolve(ctx: Context, registry: Registry, what: str) -> Tuple[Optional[int], Optional[Entry]]:
    """The port and the entry that the word means. A number is a port if it is one of the host's."""
    number = (
        what.isascii()
        and what.isdecimal()
        and (int(what[:6]) in ctx.site.ports or not _is_entry(registry, what))
    )
    slot, exact = find_slot(ctx.site, what), None if number else resolve.find_exact(registry, what)
    if number or (slot and exact is None):
        port = PortResolver(ctx, "show").resolve(what, registry)
        holders = registry.holders(port) or registry.lost(port)
        return port, holders[0] if holders else None
    if slot:
        PortResolver(ctx, "show").resolve(what, registry)
    entry = exact or resolve.require_entry(registry, what)
    if exact is None:
        report_meaning(ctx, what, entry.name)
    # For a lost entry, the port it served on.
    return entry.port or entry.wanted, entry


def _is_entry(registry: Registry, what: str) -> bool:
    return what in registry.entries


def _start_command(ctx: Context, entry: Entry) -> Dict[str, Any]:
    """The command line, and the origin of its values."""
    try:
        there = find_installed(ctx, entry.text("runtime"))
    except (
        MlxopsError
    ):  # its runtime is no longer in the host file; the entry is what one wants to see then
        return NOTHING
    chosen = launch_options(ctx.site, entry, there)
    options = chosen.options
    return {
        "command": _argv(ctx, entry, there),
        "sources": {key: option.to_wire() for key, option in options.items()},
        "choices": {key: list(there.choices(key) or ()) for key in PARSERS},
        "notes": [one.note for one in chosen.cautions],
    }


def _entry(ctx: Context, entry: Entry) -> Dict[str, Any]:
    """The row of `list`, with a look into its files, and all stored fields, unknown ones too."""
    row = entry_row(entry)
    if row["files"] == "ok":
        row = {**row, **_damage(ctx, os.path.expanduser(str(entry.cache_path)))}
    elif not entry.cache_path:
        row["problem"] = elsewhere(ctx, entry) or None
    slot_name = ctx.site.slot_name(entry.slot) if entry.slot else None
    args = {"args": row["args"]} if entry.args else {}
    return {**row, "slot_name": slot_name, **entry.fields, **args}


def _damage(ctx: Context, path: str) -> Dict[str, Any]:
    try:
        faults = find_faults(path)
        remember_damage(ctx.site.state_dir, path, faults)
    except OSError as exc:
        return {"files": "gone", "problem": str(exc)}
    return {"files": "damaged", "problem": describe_gaps(faults)} if faults else {}


def _last_loads(ctx: Context, port: Optional[int], entry: Optional[Entry]) -> Dict[str, Any]:
    """The last load of the entry, or of the port, that succeeded, and the last that failed."""

    def concerns(begin: Mapping[str, Any]) -> bool:
        if entry is None:
            return begin.get("port") == port
        return str(begin.get("why")).split()[1:2] == [entry.name]

    done, failed = last_loads(logs_folder(ctx.site.state_dir), concerns)
    return {
        "last_load": done.to_wire() if done else None,
        "last_failure": failed.to_wire() if failed else None,
    }


def _port(ctx: Context, registry: Registry, port: Optional[int]) -> Optional[Dict[str, Any]]:
    if port is None:
        return None
    return port_row(ctx, registry, observe_ports(ctx, registry, [port])[port])


def _argv(ctx: Context, entry: Entry, there: Installed) -> Optional[List[str]]:
    """None if the runtime does not start, the port is unknown, or the model is not downloaded."""
    port = entry.port or entry.slot
    if port is None or not entry.cache_path or there.flags is None:
        return None
    site, name = ctx.site, ctx.site.served_name(port, entry.name)
    launch = launch_of(entry, port, site.bind, name, state_dir=site.state_dir)
    own = entry.text("chat_template")
    template = "<the text of %s>" % own if own else ""
    words = runtimes.argv(there.runtime, there.command, launch, there.flags, template)
    return masked(words)
