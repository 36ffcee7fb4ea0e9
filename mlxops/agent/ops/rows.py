"""The rows of entries and changes in results."""

from __future__ import annotations

import os
from typing import Any, Dict

from ..models import cache as hfcache
from ..models.location import missing_reason
from ..registry.action import Action
from ..registry.entries import Entry
from ..registry.init_plan import Change

TEXT = ("revision", "runtime", "chat_template", "tool_call_parser", "reasoning_parser")


def entry_row(entry: Entry) -> Dict[str, Any]:
    """An entry. `size_bytes`: None without a snapshot. `problem`: what is missing on the path to
    it; None if nothing is, or if it was never downloaded."""
    return {
        "name": entry.name,
        "repo_id": entry.repo_id,
        "model_id": entry.model_id,
        "format": entry.fields["format"],
        "port": entry.port,
        "slot": entry.slot,
        "wanted": entry.wanted,
        "cache_path": entry.cache_path,
        "size_bytes": hfcache.size_bytes(os.path.expanduser(entry.cache_path))
        if entry.cache_path
        else None,
        "problem": (missing_reason(entry.cache_path) or None) if entry.cache_path else None,
        **{key: entry.text(key) for key in TEXT},
        "args": list(entry.args),
    }


def change_row(change: Change, applied: bool) -> Dict[str, Any]:
    """A step of a plan that changes entries; one without an entry only reports."""
    action = Action(change.action, change.name or None, change.port, change.reason)
    return action._replace(applied=applied and change.entry is not None).to_wire()
