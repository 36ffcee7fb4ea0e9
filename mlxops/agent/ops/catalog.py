"""list: the entries as they stand."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping

from ..context import Command
from ..models import cache as hfcache
from ..models.location import absence
from ..registry.entries import Entry

TEXT = ("revision", "runtime", "chat_template", "tool_call_parser", "reasoning_parser")


def list_entries(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry = command.store.read()
    lost = {entry.name for port in command.site.ports for entry in registry.lost(port) if not registry.holders(port)}
    return {"models": [{**row(entry), "lost": entry.name in lost} for entry in registry.entries.values()]}


def row(entry: Entry) -> Dict[str, Any]:
    """An entry for people and programs; `size_bytes` None when its snapshot is not there; `problem`: what is
    absent on the way to it, None where nothing is, or where it was never downloaded."""
    return {
        "name": entry.name,
        "repo_id": entry.repo_id,
        "model_id": entry.model_id,
        "format": entry.fields["format"],
        "port": entry.port,
        "slot": entry.slot,
        "wanted": entry.wanted,
        "cache_path": entry.cache_path,
        "size_bytes": hfcache.size_bytes(os.path.expanduser(entry.cache_path)) if entry.cache_path else None,
        "problem": (absence(entry.cache_path) or None) if entry.cache_path else None,
        **{key: entry.text(key) for key in TEXT},
        "args": list(entry.args),
    }
