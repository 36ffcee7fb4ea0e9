"""The verbs list, show, init, set, rename and remove: entries of the registry."""

from __future__ import annotations

import click

from ...agent.errors import Failed, Usage
from ...render.actions import change_summary, plan_summary, with_skipped
from ...render.entries import (
    LISTING,
    entry_table,
    removal_question,
    remove_result,
    rename_result,
    set_result,
)
from ...render.show import page
from .. import options
from ..check_errors import registry_fault
from ..run import Answer, Run
from ..verb import verb
from ..words.models import model_word


@verb("list", "mlxops list", "mlxops list --loaded --sort size", "mlxops list -o name", reads=True)
@click.option("--loaded", is_flag=True, help="Only entries that are on a port.")
@options.listing(LISTING)
def list_(run: Run, loaded: bool) -> Answer:
    """List the entries of the registry by name, with size, files, slot and repo.

    LOADED is the port that the entry is on. FILES is ok, incomplete or gone."""
    result = run.call("list", {})
    if loaded:
        models = [model for model in result["models"] if model["port"] is not None]
        result = {**result, "models": models, "loaded": True}
    return Answer(result, entry_table, registry_fault(result))


@verb("show", "mlxops show jerry-xl", "mlxops show 8100", reads=True)
@options.model("what", "things", metavar="NAME|PORT")
@options.document()
def show(run: Run, what: str) -> Answer:
    """Show an entry or a port in full, with the command that starts its server."""
    result = run.call("show", {"what": model_word(what).name})
    return Answer(result, page, registry_fault(result), verbatim=True)


@verb("init", "mlxops init --dry-run", "mlxops init", "mlxops init -v")
@options.dry_run()
def init(run: Run, dry_run: bool) -> Answer:
    """Add an entry for every complete MLX chat model in the cache and in the folders of model_dirs;
    adopt servers that are already running.

    Models that the host's runtime cannot serve are not added: speech, embedding and draft models,
    adapters, GGUF files and others. With -v, each is listed with the reason.

    Nothing is removed or renamed."""
    text = with_skipped(plan_summary if dry_run else change_summary, run.flags.verbose)
    return Answer(run.call("init", {"dry_run": dry_run}), text)


@verb(
    "set",
    "mlxops set jerry-xl tool_call_parser=qwen3_moe reasoning_parser=qwen3",
    "mlxops set jerry-l chat_template=/Users/thestudio/templates/harmony.jinja",
    "mlxops set jerry-s slot= reasoning_parser=none --dry-run",
)
@options.model("name", "things")
@click.argument(
    "changes",
    nargs=-1,
    required=True,
    metavar="KEY=VALUE...",
    shell_complete=options.completion("changes"),
)
@options.dry_run()
def set_(run: Run, name: str, changes: tuple[str, ...], dry_run: bool) -> Answer:
    """Change fields of an entry. KEY= gives back the default, KEY=none means none.

    A running server keeps its flags until `mlxops restart`. What a load would refuse is refused at
    once.

    KEY is one of chat_template, tool_call_parser, reasoning_parser, runtime, revision, slot (a port
    or slot name), args (extra server arguments, quoted as one), hosts (for a model on several
    hosts: 'studio=IP studio2=IP'), repo_id, model_id, cache_path and format.

    The default of chat_template, the parsers and args is that of the model family, as init sets
    it; KEY=auto leaves it to the next load."""
    args = {"name": model_word(name).name, "changes": _pairs(changes), "dry_run": dry_run}
    return Answer(run.call("set", args), plan_summary if dry_run else set_result)


def _pairs(changes: tuple[str, ...]) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise Usage(f"expected KEY=VALUE, got {change!r}", "mlxops set --help", word=change)
        if key in pairs:
            raise Usage(f"{key} is given twice", "mlxops set --help", key=key)
        pairs[key] = value or None
    return pairs


@verb(
    "rename",
    "mlxops rename qwen3-coder-30b-a3b-4bit coder",
    "mlxops rename coder coder-30b --dry-run",
)
@options.model("name", metavar="OLD")
@click.argument("new")
@options.dry_run()
def rename(run: Run, name: str, new: str, dry_run: bool) -> Answer:
    """Rename an entry. Its server, its settings and its port stay as they are.

    OLD is the entry's full name. Clients keep asking for the name of the port's slot. On a port
    without a slot they ask for the entry's name, so there the entry must be unloaded first."""
    args = {"name": model_word(name).name, "new": new.strip(), "dry_run": dry_run}
    return Answer(run.call("rename", args), rename_result)


@verb(
    "remove",
    "mlxops remove old-model",
    "mlxops remove old-model --dry-run",
    "mlxops remove old-model --files --yes",
)
@options.model("name")
@click.option("--files", is_flag=True, help="Also remove its files from the cache.")
@options.dry_run()
@options.yes()
def remove(run: Run, name: str, files: bool, dry_run: bool, yes: bool) -> Answer:
    """Remove an entry from the registry (not while it is loaded). Its files stay in the cache,
    except with --files.

    NAME is the entry's full name. At a terminal you are asked to confirm. Files that another
    entry, a process or a job uses are not removed."""
    args = {"name": model_word(name).name, "dry_run": dry_run, **({"files": True} if files else {})}
    if run.interactive and not yes and not dry_run:
        preview = run.call("remove", {**args, "dry_run": True})
        args["name"] = str(preview["entry"])
        run.confirm(removal_question(preview, files), "nothing was removed")
    result = run.call("remove", args)
    kept = [one for one in result.get("pruned") or [] if one["error"]]
    error = (
        Failed(f"its files were not removed: {kept[0]['error']}", "mlxops disk") if kept else None
    )
    return Answer(result, remove_result, error)
