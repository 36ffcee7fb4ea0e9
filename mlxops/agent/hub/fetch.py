"""What the Hub has for a model, whether it may be downloaded, and the download of a job."""

from __future__ import annotations

from typing import Optional, Tuple

from ..clock import Deadline
from ..context import Context
from ..errors import Interrupted, NeedsConsent, NotDownloadable
from ..jobs.job import Job
from ..models import cache as hfcache
from . import download as hub
from .checks import check_complete, check_disk, check_links, format_size
from .remote import Remote
from .settings import require_access

REACH_TIMEOUT_S = 10.0


def describe_remote(
    ctx: Context, repo_id: str, revision: Optional[str], command: Tuple[str, ...]
) -> Remote:
    """What the Hub has for a repository, spelled as its folder in the cache. `command`: of the
    runtime, whose interpreter has huggingface_hub."""
    check_links(ctx.site.cache_root, repo_id)
    require_access(ctx.site.hub, repo_id)
    python = hub.find_interpreter(ctx.site, command)
    repo_id = hfcache.name_in_cache(ctx.site.hf_home, ctx.site.cache_root, repo_id)
    here = hfcache.find(ctx.site.hf_home, repo_id, revision) if revision else None
    # The Hub does not know the first digits of a commit, but those of one that is here are known.
    revision = (
        here.revision if here and here.revision.startswith(str(revision).lower()) else revision
    )
    ctx.report("asking the Hub for %s" % repo_id)
    return hub.describe(
        python, repo_id, revision, ctx.site.cache_root, lambda: ctx.client.cancelled
    )


def hub_fault(ctx: Context, command: Tuple[str, ...]) -> str:
    """Why the Hub cannot be used with the host file's settings, asked with one request; "" if it
    can."""
    deadline = Deadline(REACH_TIMEOUT_S)
    request = {"do": "reach", "repo_id": "", "asked": "", "cache_dir": ctx.site.cache_root}
    try:
        require_access(ctx.site.hub)
        python = hub.find_interpreter(ctx.site, command)
        hub.ask(python, request, lambda _: None, lambda: ctx.client.cancelled or deadline.passed)
    except Interrupted:
        if not deadline.passed:
            raise
        return "no answer within %.0f s" % REACH_TIMEOUT_S
    except NotDownloadable as exc:
        return str(exc.fields.get("detail") or exc.message)
    return ""


def require_downloadable(
    ctx: Context, remote: Remote, ask_above_bytes: Optional[int] = None, force: bool = False
) -> None:
    """All checks before a download; NeedsConsent if it is larger than `ask_above_bytes`."""
    check_disk(remote, ctx.site.cache_root)
    if not force:
        check_complete(remote)
    size = format_size(remote.missing_bytes)
    ctx.report("%s: %s to download" % (remote.repo_id, size))
    if ask_above_bytes is not None and remote.missing_bytes > ask_above_bytes:
        raise NeedsConsent(
            "%s is not on this host: %s to download" % (remote.repo_id, size),
            "add --yes to download without asking",
            repo_id=remote.repo_id,
            size_bytes=remote.size_bytes,
            missing_bytes=remote.missing_bytes,
        )


def download_in_job(ctx: Context, job: Job, remote: Remote, command: Tuple[str, ...]) -> str:
    """Download as a phase of a job; returns the path of the snapshot."""
    require_access(ctx.site.hub, remote.repo_id)
    size = format_size(remote.missing_bytes)
    job.phase("download", "downloading %s, %s" % (remote.repo_id, size))

    def progress(done: int, total: int, file: str) -> None:
        job.emit("progress", phase="download", done=done, total=total, file=file)

    python = hub.find_interpreter(ctx.site, command)
    return hub.download(python, remote, ctx.site.cache_root, progress, lambda: ctx.client.cancelled)
