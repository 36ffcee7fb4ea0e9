"""The verbs disk and pull: the models on the host's disk."""

from __future__ import annotations

import click

from ...agent.errors import Failed, NeedsConsent, Usage, from_wire
from ...render.disk import LISTING, disk_table, prune_question, prune_result, pull_result
from .. import options
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.models import model_at, model_word
from .load import ASK_ABOVE_BYTES


@verb(
    "disk",
    "mlxops disk",
    "mlxops disk --prune --dry-run",
    "mlxops disk --prune",
    "mlxops disk --prune mlx-community/Qwen3-4B-4bit --yes",
    reads=lambda given: given["dry_run"] or not given["prune"],
)
@options.model("repos", nargs=-1, metavar="[REPO|ENTRY]...")
@click.option("--prune", is_flag=True, help="Remove what is unused; asks first.")
@options.dry_run()
@options.yes()
@options.listing(LISTING)
def disk(run: Run, repos: tuple[str, ...], prune: bool, dry_run: bool, yes: bool) -> Answer:
    """Show what the model cache holds, who uses it, and what can be removed.

    With --prune: remove the snapshots that no entry, process, job or slot uses, old revisions,
    and the parts of interrupted downloads. A model that is not a chat model, such as one for
    speech or embeddings, may belong to another program: it is removed only if it is named.

    Entries and servers are never changed. At a terminal you see the list and are asked; a script
    needs --yes."""
    args: Result = {"repos": [model_word(word).name for word in repos]}
    if not prune:
        result = run.call("disk", args)
        return Answer(result, disk_table, from_wire(result["error"]) if "error" in result else None)
    preview = run.call("disk", {**args, "prune": True, "dry_run": True})
    if dry_run:
        return Answer(preview, disk_table)
    paths = [item["path"] for item in preview["items"] if item["removable"]]
    if paths and not yes:
        _ask(run, preview)
    result = run.call("disk", {**args, "prune": True, "paths": paths})
    return Answer(result, prune_result, _prune_error(result))


def _ask(run: Run, preview: Result) -> None:
    if not run.interactive:
        raise Usage(
            "disk --prune removes files: a script must say --yes",
            "mlxops disk --prune --dry-run shows what would be removed",
        )
    run.preview(disk_table(preview, run.console.err_style))
    run.confirm(prune_question(preview), "nothing was removed")


def _prune_error(result: Result) -> Failed | None:
    failed = [one for one in result["pruned"] if one["error"]]
    if not failed:
        return None
    return Failed(f"{len(failed)} could not be removed", "mlxops disk", paths=failed)


@verb(
    "pull",
    "mlxops pull mlx-community/Qwen3-4B-4bit",
    "mlxops pull mlx-community/Qwen3-4B-4bit --dry-run",
    "mlxops pull qwen3-4b-4bit            # its newest revision",
)
@options.model("models", nargs=-1, required=True, metavar="ORG/NAME|ENTRY...")
@options.revision()
@options.dry_run()
@options.yes()
def pull(
    run: Run, models: tuple[str, ...], revision: str | None, dry_run: bool, yes: bool
) -> Answer:
    """Download models into the cache of the host, and register them. Nothing is started.

    An interrupted download resumes. Ctrl-C cancels it; if only the link is lost, it continues on
    the host (mlxops jobs). At a terminal you are asked before a download of more than 20 GB."""
    rows = []
    for model in models:
        word = model_at(model, revision)
        args: Result = {"model": word.name, "revision": word.revision, "dry_run": dry_run}
        if run.interactive and not yes:
            args["ask_above_bytes"] = ASK_ABOVE_BYTES
        rows.append(_pull_with_consent(run, args))
    return Answer({"models": rows}, pull_result)


def _pull_with_consent(run: Run, args: Result) -> Result:
    try:
        return run.call("pull", args)
    except NeedsConsent as large:
        if not run.confirm(f"{large.message}. Download it?", "not downloaded"):
            raise
        return run.call("pull", {**args, "ask_above_bytes": None})
