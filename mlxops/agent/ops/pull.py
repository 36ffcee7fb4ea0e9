"""pull: download a model into the cache, and register it. No server is started or stopped."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..context import Context
from ..errors import ModelMissing, mlxops_command
from ..hub.checks import format_size
from ..hub.fetch import describe_remote, download_in_job, require_downloadable
from ..hub.remote import Remote
from ..jobs.begin import begin
from ..jobs.job import NO_PORT
from ..load.presence import is_usable
from ..models import cache as hfcache
from ..models.location import folder_identity, missing_reason, same_repo
from ..models.options import find_installed, launch_options
from ..registry import resolve
from ..registry.action import Action
from ..registry.entries import REQUIRED, Entry, Registry
from ..registry.init_plan import free_name


def pull(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """`model`: org/name, or an entry. `ask_above_bytes`: a larger download raises NeedsConsent."""
    began = time.monotonic()
    dry = bool(args.get("dry_run"))
    entry = _find(ctx, ctx.store.read(), str(args["model"]), args.get("revision"))
    command = find_installed(ctx, entry.text("runtime")).command
    remote = describe_remote(ctx, entry.repo_id, entry.text("revision"), command)
    path = _downloaded(ctx, remote)
    downloads = not path
    if downloads:
        require_downloadable(ctx, remote, None if dry else args.get("ask_above_bytes"))
    if downloads and not dry:
        with begin(ctx, NO_PORT, "pull %s" % remote.repo_id, entry=entry.name) as job:
            path = download_in_job(ctx, job, remote, command)
    steps = _register(ctx, entry, path or "(not downloaded)", dry)
    if downloads:
        size = "%s, %s" % (remote.repo_id, format_size(remote.missing_bytes))
        steps.insert(0, Action("download", steps[0].entry, None, size, applied=not dry))
    return {
        "entry": steps[-1].entry,
        **remote.record(),
        "path": path or None,
        "changed": any(step.applied for step in steps),
        "duration_s": round(time.monotonic() - began, 3),
        "actions": [step.to_wire() for step in steps],
    }


def _downloaded(ctx: Context, remote: Remote) -> str:
    """The snapshot, "" if there is something left to download. A server could load one that still
    lacks its chat template, say, because a download was interrupted or is under way."""
    snapshot = hfcache.find(ctx.site.hf_home, remote.repo_id, remote.revision)
    if snapshot is None or not is_usable(snapshot.path):
        return ""
    if not snapshot.path.startswith(os.path.join(ctx.site.cache_root, "")):
        return snapshot.path  # Downloads go to the other root, and would begin anew there.
    there = (os.path.isfile(os.path.join(snapshot.path, name)) for name, _ in remote.files)
    return snapshot.path if all(there) else ""


def _find(ctx: Context, registry: Registry, word: str, revision: Optional[str]) -> Entry:
    """The entry that the word names exactly, or a new one for a repository."""
    entry = registry.entries.get(word)
    if entry is None and resolve.is_repo_id(word):
        name = free_name(registry, word, ctx.site.slot_names)
        entry = Entry(name, {**REQUIRED, "repo_id": word, "model_id": word})
    entry = entry or resolve.require_exact(registry, word)
    if not resolve.is_repo_id(entry.repo_id):
        raise ModelMissing(
            "%s has no repository on the Hub" % entry.name,
            mlxops_command("show", entry.name),
            entry=entry.name,
        )
    if hfcache.is_own_folder(entry.cache_path, entry.repo_id):
        why = missing_reason(entry.cache_path)
        raise ModelMissing(
            "%s is the folder %s, not a download%s"
            % (entry.name, entry.cache_path, " (%s)" % why if why else ""),
            "to download %s beside it: %s" % (entry.repo_id, mlxops_command("pull", entry.repo_id)),
            entry=entry.name,
            path=entry.cache_path,
        )
    return entry.with_fields(revision=revision) if revision else entry


def _register(ctx: Context, entry: Entry, path: str, dry: bool) -> List[Action]:
    """What becomes of the entries of the model: at least one step, the last one about an entry."""
    steps: List[Action] = []

    def change(now: Registry) -> Registry:
        steps.clear()
        known = [e for e in now.entries.values() if same_repo(e.repo_id, entry.repo_id)]
        for one in known:
            step, one = _refreshed(one, path)
            steps.append(step._replace(applied=not dry and step.action == "refresh"))
            now = now.put(one)
        if not known:
            steps.append(Action("add", entry.name, None, entry.repo_id, applied=not dry))
            return now.put(_new(ctx, entry, path))
        return now

    if dry:
        change(ctx.store.read())
    else:
        ctx.store.edit("pull " + entry.repo_id, change)
    return sorted(steps, key=lambda step: step.entry == entry.name)


def _refreshed(entry: Entry, path: str) -> Tuple[Action, Entry]:
    """An entry of the model with its new path; one that is loaded, pinned or outside of the cache
    keeps its own."""
    if folder_identity(entry.cache_path) == folder_identity(path):
        return Action("keep", entry.name, entry.port, "it is up to date"), entry
    if hfcache.is_own_folder(entry.cache_path, entry.repo_id):
        reason = "it keeps its own folder, %s" % entry.cache_path
        return Action("keep", entry.name, entry.port, reason), entry
    if entry.port is not None:
        reason = "it keeps serving the earlier revision; mlxops init updates it after an unload"
        return Action("keep", entry.name, entry.port, reason), entry
    pinned = entry.text("revision")
    if pinned and not os.path.basename(path).startswith(pinned):
        return Action("keep", entry.name, None, "it is pinned to revision %s" % pinned), entry
    reason = "now at %s" % path
    return Action("refresh", entry.name, None, reason), entry.with_fields(cache_path=path)


def _new(ctx: Context, entry: Entry, path: str) -> Entry:
    """The new entry, with the defaults of its family."""
    there = find_installed(ctx, entry.text("runtime"))
    return launch_options(ctx.site, entry.with_fields(cache_path=path), there).entry
