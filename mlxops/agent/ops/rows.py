"""The rows of entries and changes in results."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple

from ..errors import MlxopsError
from ..models import cache as hfcache
from ..models.completeness import visible_gaps
from ..models.location import missing_reason
from ..ports.expected import edit_warnings
from ..registry.action import Action
from ..registry.entries import Entry, Registry
from ..registry.init_plan import Change
from ..runtimes.secrets import masked

TEXT = ("revision", "runtime", "chat_template", "tool_call_parser", "reasoning_parser")


def entry_row(entry: Entry) -> Dict[str, Any]:
    """An entry. `size_bytes`: None without a snapshot. `files`: ok, incomplete or gone, by a look
    at their names; None if it was never downloaded. `problem`: what is missing, if anything."""
    files, problem = _files(entry.cache_path) if entry.cache_path else (None, None)
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
        "files": files,
        "problem": problem,
        **{key: entry.text(key) for key in TEXT},
        "args": masked(entry.args),
    }


def _files(path: str) -> Tuple[str, Optional[str]]:
    gone = missing_reason(path)
    if gone:
        return "gone", gone
    try:
        gaps = visible_gaps(os.path.expanduser(path))
    except OSError as exc:
        return "gone", "%s cannot be read: %s" % (path, exc.strerror)
    if not gaps:
        return "ok", None
    if len(gaps) == 1:
        return "incomplete", "%s is missing" % gaps[0]
    return "incomplete", "%d files are missing, such as %s" % (len(gaps), gaps[0])


def fault_fields(registry: Registry, fault: Optional[MlxopsError]) -> Dict[str, Any]:
    """What an answer about entries says of the registry: mistakes in it, or that it cannot be read
    and the answer is from a copy."""
    if fault is None:
        return {"warnings": edit_warnings(registry)}
    text = "the registry cannot be read; this is its copy %s" % fault.fields.get("backup")
    return {"warnings": [text], "error": fault.to_wire()}


def change_row(change: Change, applied: bool) -> Dict[str, Any]:
    """A step of a plan that changes entries; one without an entry only reports."""
    action = Action(change.action, change.name or None, change.port, change.reason)
    return action._replace(applied=applied and change.entry is not None).to_wire()
