"""Whether an entry's model is on this host, and if not, whether it may be downloaded."""

from __future__ import annotations

import os
from typing import List, Tuple
from urllib.parse import quote

from ..context import Context
from ..errors import ModelMissing, mlxops_command
from ..models import cache as hfcache
from ..models import completeness
from ..models.files import INDEX
from ..models.location import folder_identity, missing_reason, same_repo
from ..registry import resolve
from ..registry.entries import Entry, Registry
from .request import LoadRequest


def is_usable(path: str, force: bool = False) -> bool:
    """Whether a server could load the model at `path`; `force` ignores faults that are not
    certain."""
    if not path:
        return False
    try:
        faults = completeness.find_faults(path, deep=True)
    except OSError:
        return False
    return not faults or (force and completeness.may_still_load(path, faults))


def with_snapshot_path(ctx: Context, entry: Entry, request: LoadRequest) -> Entry:
    """The entry with the path of a complete snapshot, if there is one."""
    path = os.path.expanduser(entry.cache_path)
    entry = entry.with_fields(cache_path=path) if path != entry.cache_path else entry
    if request.revision:
        return _at_revision(ctx, entry, request)
    if is_usable(path):
        return entry
    snapshot = (
        hfcache.find(ctx.site.hf_home, entry.repo_id, entry.text("revision"))
        if entry.repo_id
        else None
    )
    if (
        snapshot is not None
        and (snapshot.complete or not path)
        and is_usable(snapshot.path, request.force)
    ):
        return entry.with_fields(cache_path=snapshot.path)
    return entry


def _at_revision(ctx: Context, entry: Entry, request: LoadRequest) -> Entry:
    """The entry with the path of the requested revision. If that is not here, with a path that does
    not exist: another revision is not a substitute."""
    revision = str(request.revision)
    if not resolve.is_repo_id(entry.repo_id):
        text = "%s has no repository, so it has no revision %s" % (entry.name, revision)
        raise ModelMissing(text, "omit --revision", entry=entry.name)
    beside = hfcache.sibling_snapshot(entry.cache_path, entry.repo_id, revision)
    snapshot = hfcache.find(ctx.site.hf_home, entry.repo_id, revision)
    there = next(
        (
            path
            for path in (beside, snapshot.path if snapshot else "")
            if is_usable(path, request.force)
        ),
        "",
    )
    if there or not entry.cache_path:
        return entry.with_fields(cache_path=there)
    folder = os.path.join(ctx.site.cache_root, hfcache.repo_folder(entry.repo_id), "snapshots")
    return entry.with_fields(
        cache_path=os.path.join(folder, "not here: " + quote(revision, safe=""))
    )


def warnings(registry: Registry, entry: Entry) -> Tuple[str, ...]:
    """Warnings about a model that is on the host, one sentence each."""
    notes: List[str] = []
    recorded = registry.entries.get(entry.name)
    if (
        recorded is not None
        and recorded.cache_path
        and folder_identity(recorded.cache_path) != folder_identity(entry.cache_path)
    ):
        why = missing_reason(recorded.cache_path)
        if why:
            notes.append("%s; using %s instead" % (why, entry.cache_path))
    faults = completeness.find_faults(entry.cache_path, deep=True)
    notes += ["%s: %s; forced" % fault for fault in sorted(faults.items())]
    if not faults and completeness.has_stale_index(entry.cache_path):
        notes.append("%s does not match the files; it is ignored, as mlx-lm does" % INDEX)
    return tuple(notes)


def require_download_allowed(entry: Entry, request: LoadRequest) -> None:
    """ModelMissing unless the request allows a download.

    It does with the full org/name, the exact name of an entry that was never downloaded, or
    --download; not with a part of a name or if the entry's files have disappeared."""
    named = resolve.is_repo_id(request.model) and same_repo(request.model, entry.repo_id)
    planned = request.model == entry.name and not entry.cache_path and not request.restart
    if resolve.is_repo_id(entry.repo_id) and (request.download or named or planned):
        return
    path = None if request.revision else entry.cache_path or None
    raise ModelMissing(
        _reason(entry, request),
        _hint(entry, request),
        entry=entry.name,
        repo_id=entry.repo_id,
        path=path,
    )


def _reason(entry: Entry, request: LoadRequest) -> str:
    if request.revision:
        return "revision %s of %s is not on this host, or not complete" % (
            request.revision,
            entry.repo_id or entry.name,
        )
    if not entry.cache_path:
        named = "" if request.model == entry.name else " (%s)" % request.model
        return "%s%s is not on this host: %s was never downloaded" % (
            entry.name,
            named,
            entry.repo_id or "its model",
        )
    return "%s cannot be loaded: %s" % (entry.name, describe_faults(entry.cache_path))


def describe_faults(path: str) -> str:
    """What is wrong with a model's folder, in words; "" if it is complete."""
    gone = missing_reason(path)
    if gone:
        return gone
    try:
        faults = completeness.find_faults(path, deep=True)
    except OSError as exc:
        return "cannot read %s: %s" % (path, exc.strerror)
    texts = ["%s is %s" % (name, why) for name, why in sorted(faults.items())]
    more = "; and %d more" % (len(texts) - 3) if len(texts) > 3 else ""
    return "%s: %s%s" % (path, "; ".join(texts[:3]), more) if texts else ""


def lost_folder_hint(entry: Entry) -> str:
    """What to do about a local model, which cannot be downloaded."""
    elsewhere = mlxops_command("set", entry.name, "cache_path=PATH")
    if entry.cache_path and missing_reason(entry.cache_path):
        return "mount its disk or restore the folder; if it is elsewhere now: " + elsewhere
    return elsewhere


def _hint(entry: Entry, request: LoadRequest) -> str:
    if not resolve.is_repo_id(entry.repo_id):
        return lost_folder_hint(entry)
    flags = ["--revision", request.revision] if request.revision else []
    port: object = request.port or "PORT"
    fetch = "to download %s: %s" % (
        entry.repo_id,
        mlxops_command("load", entry.name, port, *flags, "--download"),
    )
    gone = entry.cache_path and not request.revision and missing_reason(entry.cache_path)
    return "mount its disk or restore the folder; or " + fetch if gone else fetch
