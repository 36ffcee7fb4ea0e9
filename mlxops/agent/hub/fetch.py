"""What the Hub has for a model, whether it may be downloaded, and the download of a job."""

from __future__ import annotations

from typing import Optional, Tuple

from ..context import Context
from ..errors import NeedsConsent
from ..jobs.job import Job
from ..models import cache as hfcache
from . import download as hub
from .checks import check_complete, check_disk, format_size
from .remote import Remote


def describe_remote(
    ctx: Context, repo_id: str, revision: Optional[str], command: Tuple[str, ...]
) -> Remote:
    """What the Hub has for a repository, spelled as its folder in the cache. `command`: of the
    runtime, whose interpreter has huggingface_hub."""
    python = hub.find_interpreter(ctx.site, command)
    repo_id = hfcache.name_in_cache(ctx.site.hf_home, ctx.site.cache_root, repo_id)
    ctx.report("asking the Hub for %s" % repo_id)
    return hub.describe(
        python, repo_id, revision, ctx.site.cache_root, lambda: ctx.client.cancelled
    )


def require_downloadable(
    ctx: Context, remote: Remote, ask_above_bytes: Optional[int] = None, force: bool = False
) -> None:
    """All checks before a download; NeedsConsent if it is larger than `ask_above_bytes`."""
    check_disk(remote, ctx.site.cache_root)
    check_complete(remote, force)
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
    size = format_size(remote.missing_bytes)
    job.phase("download", "downloading %s, %s" % (remote.repo_id, size))

    def progress(done: int, total: int, file: str) -> None:
        job.emit("progress", phase="download", done=done, total=total, file=file)

    python = hub.find_interpreter(ctx.site, command)
    return hub.download(python, remote, ctx.site.cache_root, progress, lambda: ctx.client.cancelled)
