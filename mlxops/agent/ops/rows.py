"""The rows of entries and changes in results."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Optional, Tuple

from ..context import Context
from ..errors import MlxopsError
from ..models import cache as hfcache
from ..models.completeness import Damage, remembered_gaps, visible_gaps
from ..models.location import gone_reason
from ..ports.expected import edit_warnings
from ..registry.action import Action
from ..registry.entries import Entry, Registry
from ..registry.init_plan import Change
from ..runtimes.secrets import masked

TEXT = ("revision", "runtime", "chat_template", "tool_call_parser", "reasoning_parser")


def entry_row(entry: Entry, damaged: Optional[Damage] = None) -> Dict[str, Any]:
    """An entry. `damaged`: what earlier looks into files have found. `size_bytes`: None without a
    snapshot. `files`: ok, incomplete or gone, by a look at their names; None if it was never
    downloaded. `problem`: what is missing, if anything."""
    files, problem = _files(entry.cache_path, damaged or {}) if entry.cache_path else (None, None)
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


def _files(path: str, damaged: Damage) -> Tuple[str, Optional[str]]:
    gone = gone_reason(path)
    if gone:
        return "gone", gone
    try:
        full = os.path.expanduser(path)
        gaps = visible_gaps(full) or remembered_gaps(full, damaged.get(full, {}))
    except OSError as exc:
        return "gone", "%s cannot be read: %s" % (path, exc.strerror)
    return ("incomplete", describe_gaps(gaps)) if gaps else ("ok", None)


def elsewhere(ctx: Context, entry: Entry) -> str:
    """What the cache has of an entry without a path: a folder that is away, or complete revisions
    that only --revision loads; "" if neither."""
    home = ctx.site.hf_home
    if not any(hfcache.matching_folders(root, entry.repo_id) for root in hfcache.roots(home)):
        return ""
    gone = hfcache.broken_repo(home, ctx.site.cache_root, entry.repo_id)
    others = () if gone else next(iter(hfcache.other_revisions(home, entry.repo_id).values()), ())
    port = entry.slot or entry.wanted or "PORT"
    commands = hfcache.load_commands(entry.name, port, others)
    text = "refs/main is not complete here, another revision is: %s"
    return gone or (text % " or ".join(commands) if commands else "")


def describe_gaps(gaps: Mapping[str, str]) -> str:
    """What is wrong with the files of a model, by the first of them."""
    name, why = min(gaps.items(), key=lambda gap: (not gap[0].endswith(".safetensors"), gap))
    text = "%s is %s" % (name, why)
    return text if len(gaps) == 1 else "%d files are missing or damaged: %s" % (len(gaps), text)


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
