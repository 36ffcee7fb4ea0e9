"""Whether an entry's model is on this host, and if not, whether it may be downloaded.

Complete: every file that the loader reads is there and intact. Gone: a recorded path, or the folder
of the repository in the cache, is away; it is downloaded again only with --download. Never
downloaded: a full name may download it."""

from __future__ import annotations

import os
from typing import List, Optional, Tuple
from urllib.parse import quote

from ..context import Context
from ..errors import (
    MlxopsError,
    ModelAmbiguous,
    ModelMissing,
    NotDownloadable,
    mlxops_command,
)
from ..models import cache as hfcache
from ..models import completeness
from ..models.files import INDEX
from ..models.location import (
    folder_identity,
    gone_reason,
    matching_revisions,
    missing_reason,
    same_repo,
    short_revision,
)
from ..registry import resolve
from ..registry.entries import Entry, Registry
from .request import LoadRequest, Substitute

# Why the Hub could not be asked, of NotDownloadable.
_UNREACHABLE = ("network", "offline")


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
    if request.substitute:
        return entry.with_fields(cache_path=request.substitute.path)
    if request.revision:
        return _at_revision(ctx, entry, request)
    if is_usable(path) or hfcache.is_own_folder(path, entry.repo_id):
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
    _require_one_commit(ctx, entry.repo_id, revision)
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


def warnings(registry: Registry, entry: Entry, request: LoadRequest) -> Tuple[str, ...]:
    """Warnings about a model that is on the host, one sentence each."""
    notes: List[str] = [request.substitute.warning] if request.substitute else []
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
    stray = completeness.stray_weights(os.listdir(entry.cache_path))
    if stray:
        notes.append(
            "mlx-lm loads %s as part of the model; if it does not belong to it, the start fails:"
            " move it out of %s" % (", ".join(stray), entry.cache_path)
        )
    elif not faults and completeness.has_stale_index(entry.cache_path):
        notes.append("%s does not match the files; it is ignored, as mlx-lm does" % INDEX)
    return tuple(notes)


def local_copy_note(registry: Registry, entry: Entry, request: LoadRequest) -> str:
    """That a local entry has the repository, in a folder org/name; "" if none has."""
    for one in registry.entries.values():
        folder = "/".join(one.cache_path.split("/")[-2:])
        if not one.repo_id and same_repo(folder, entry.repo_id):
            command = mlxops_command("load", one.name, request.port or "PORT")
            return "%s is on the host, in %s: %s" % (entry.repo_id, one.cache_path, command)
    return ""


def require_download_allowed(ctx: Context, entry: Entry, request: LoadRequest) -> None:
    """ModelMissing unless the request allows a download."""
    error = download_refusal(ctx, entry, request)
    if error is not None:
        raise error


def download_refusal(ctx: Context, entry: Entry, request: LoadRequest) -> Optional[ModelMissing]:
    """Why the request allows no download; None if it does.

    --download does, for what a person asks. So does the full org/name or the exact name of an entry
    that was never downloaded, and org/name of an incomplete one; not if its files are gone."""
    gone = gone_files(ctx, entry, request)
    named = resolve.is_repo_id(request.model) and same_repo(request.model, entry.repo_id)
    planned = request.model == entry.name and not entry.cache_path and not request.restart
    explicit = request.download and not (gone and request.by_plan)
    if resolve.is_repo_id(entry.repo_id) and (explicit or ((named or planned) and not gone)):
        return None
    reason = (
        "%s cannot be loaded: %s" % (entry.name, gone) if gone else _reason(ctx, entry, request)
    )
    return ModelMissing(
        reason,
        _hint(ctx, entry, request, bool(gone)),
        entry=entry.name,
        repo_id=entry.repo_id,
        path=None if request.revision else entry.cache_path or None,
    )


def gone_files(ctx: Context, entry: Entry, request: LoadRequest) -> str:
    """Why the files of a model that was on this host are away; "" if they are not."""
    if entry.cache_path and not request.revision:
        return gone_reason(entry.cache_path)
    return hfcache.broken_repo(ctx.site.hf_home, ctx.site.cache_root, entry.repo_id)


def _reason(ctx: Context, entry: Entry, request: LoadRequest) -> str:
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
    return "%s cannot be loaded: %s" % (
        entry.name,
        describe_faults(entry.cache_path, ctx.site.state_dir),
    )


def _require_one_commit(ctx: Context, repo_id: str, prefix: str) -> None:
    """ModelAmbiguous for the first digits of several commits that are here."""
    found = {
        name
        for root in hfcache.roots(ctx.site.hf_home)
        for folder in hfcache.matching_folders(root, repo_id)
        for name in matching_revisions(os.path.join(root, folder), prefix)
    }
    if len(found) > 1:
        raise ModelAmbiguous(
            "revision %s of %s could be %s" % (prefix, repo_id, " or ".join(sorted(found))),
            "give more digits",
            matches=sorted(found),
            model=repo_id,
        )


def complete_revisions(ctx: Context, entry: Entry) -> Tuple[hfcache.Snapshot, ...]:
    """The complete snapshots here of a repository whose current one is missing or incomplete."""
    others = hfcache.other_revisions(ctx.site.hf_home, entry.repo_id) if entry.repo_id else {}
    return next(iter(others.values()), ())


def revision_note(ctx: Context, entry: Entry, request: LoadRequest) -> str:
    """That another revision than the one to download is complete here; "" if none is."""
    others = () if request.revision else complete_revisions(ctx, entry)
    commands = hfcache.load_commands(request.model, request.port or "PORT", others)
    return (
        "another revision of %s is complete here: %s" % (entry.repo_id, " or ".join(commands))
        if commands
        else ""
    )


def substitute(
    ctx: Context, entry: Entry, request: LoadRequest, error: NotDownloadable
) -> Substitute:
    """The only complete revision here, to serve if the Hub cannot be asked; else raises `error`,
    whose hint names the complete ones."""
    pinned = request.revision or entry.text("revision")
    others = () if pinned else complete_revisions(ctx, entry)
    if error.fields.get("reason") not in _UNREACHABLE or not others:
        raise error
    if len(others) > 1:
        commands = hfcache.load_commands(request.model, request.port or "PORT", others)
        raise _with_hint(error, "these revisions are complete here: %s" % " or ".join(commands))
    text = "the Hub was not asked (%s); serving revision %s, the only complete one here"
    return Substitute(others[0].path, text % (error.message, short_revision(others[0].revision)))


def _with_hint(error: MlxopsError, hint: str) -> MlxopsError:
    error.hint = hint
    return error


def describe_faults(path: str, state_dir: str = "") -> str:
    """What is wrong with a model's folder, in words; "" if it is complete. `state_dir`: where it is
    kept for `list`."""
    gone = gone_reason(path)
    if gone:
        return gone
    try:
        faults = completeness.find_faults(path, deep=True)
    except OSError as exc:
        return "cannot read %s: %s" % (path, exc.strerror)
    if state_dir:
        completeness.remember_damage(state_dir, path, faults)
    texts = ["%s is %s" % (name, why) for name, why in sorted(faults.items())]
    more = "; and %d more" % (len(texts) - 3) if len(texts) > 3 else ""
    return "%s: %s%s" % (path, "; ".join(texts[:3]), more) if texts else ""


def lost_folder_hint(entry: Entry) -> str:
    """What to do about a local model, which cannot be downloaded."""
    elsewhere = mlxops_command("set", entry.name, "cache_path=PATH")
    if entry.cache_path and missing_reason(entry.cache_path):
        return "mount its disk or restore the folder; if it is elsewhere now: " + elsewhere
    return elsewhere


def _hint(ctx: Context, entry: Entry, request: LoadRequest, gone: bool) -> str:
    if not resolve.is_repo_id(entry.repo_id):
        return lost_folder_hint(entry)
    flags = ["--revision", request.revision] if request.revision else []
    port: object = request.port or "PORT"
    fetch = "to download %s: %s" % (
        entry.repo_id,
        mlxops_command("load", entry.name, port, *flags, "--download"),
    )
    others = () if request.revision else complete_revisions(ctx, entry)
    if others:
        here = " or ".join(hfcache.load_commands(entry.name, port, others))
        fetch = "another revision is complete here: %s; or %s" % (here, fetch)
    return "mount its disk or restore the folder; or " + fetch if gone else fetch
