"""Where each value that an entry's server is started with comes from. Pure.

Nothing of it is recorded: a value that equals what would be proposed now is told as proposed, any
other as set by hand."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..registry.entries import Entry
from ..runtimes.table import Runtime
from ..site import Site
from .defaults import KEYS, Defaults, unset_keys

Source = Dict[str, Any]


def option_sources(
    site: Site, entry: Entry, runtime: Runtime, found: Defaults
) -> Mapping[str, Source]:
    """Key -> {"value", "from"}, and "proposed" where something else is proposed than what holds."""
    return {
        "runtime": _row(runtime.name, "set by hand" if entry.text("runtime") else "the host file"),
        **{key: _suggested(key, entry, runtime, found) for key in KEYS},
        "served_name": _served(site, entry, runtime),
    }


def _row(value: Any, origin: str, proposed: Any = None) -> Source:
    return {"value": value, "from": origin, **({"proposed": proposed} if proposed else {})}


def _served(site: Site, entry: Entry, runtime: Runtime) -> Source:
    port = entry.port or entry.slot
    if runtime.client_model:
        return _row(runtime.client_model, "%s answers to no other name" % runtime.name)
    if port is None:
        return _row(None, "the port it is loaded on")
    named = (
        "slot %d of the host file" % port
        if site.slot_name(port)
        else "the entry's name: the port has no slot"
    )
    return _row(site.served_name(port, entry.name), named)


def _suggested(key: str, entry: Entry, runtime: Runtime, found: Defaults) -> Source:
    value, proposed, why = (
        entry.fields.get(key) or None,
        found.values.get(key),
        found.sources.get(key, ""),
    )
    if key != "args" and not getattr(runtime, key):
        return _row(value, "left out: %s has no option for it" % runtime.name)
    if value:
        return (
            _row(value, "as proposed (%s)" % why)
            if value == proposed
            else _row(value, "set by hand", proposed)
        )
    if entry.fields.get(key) is not None:
        return _row(None, "set by hand: none", proposed)
    if proposed and key not in unset_keys(entry.fields):
        return _row(
            None, "nobody has said; left alone beside the other parser, which is set", proposed
        )
    if proposed:
        return _row(
            None, "nobody has said; the next load takes what is proposed (%s)" % why, proposed
        )
    if key == "chat_template" and found.template.text:
        return _row(None, "%s has it" % found.template.source)
    return _row(None, "nobody has said, and nothing is proposed")
