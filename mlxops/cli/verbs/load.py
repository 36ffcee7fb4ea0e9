"""The verb load."""

from __future__ import annotations

import shlex

import click

from ...agent.errors import (
    AssignmentConflict,
    ModelUnknown,
    NeedsConsent,
    PortBusy,
    Usage,
    from_wire,
)
from ...render.ports import load_result
from .. import options
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.models import model_at
from ..words.ports import port_word

ASK_ABOVE_BYTES = 20 * 10**9
_FORCE = (
    "Load even if another slot is planned, memory looks too small, mlx-lm does not list the model "
    "type, or a file may be missing."
)


@verb(
    "load",
    "mlxops load jerry-xl 8100",
    "mlxops load qwen3-4b bench-1 --replace",
    "mlxops load mlx-community/Qwen3-4B-4bit 8104 --dry-run",
    "mlxops load jerry-xl 8101 --move",
)
@options.model()
@options.port()
@click.option("--replace", is_flag=True, help="Stop the model on PORT without asking.")
@click.option("--move", is_flag=True, help="If MODEL serves on another port, unload it there.")
@click.option("--download", is_flag=True, help="Download missing files of the repo.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a download of more than 20 GB.")
@click.option("--force", is_flag=True, help=_FORCE)
@click.option(
    "--evict",
    is_flag=True,
    help="If memory is short, unload as few other ports as needed.",
)
@click.option(
    "--no-rollback",
    is_flag=True,
    help="If the load fails, leave the port empty: do not restart the old model.",
)
@click.option(
    "--no-keep",
    is_flag=True,
    help="Serve it for a try-out: it is not restored after a crash or a reboot.",
)
@options.revision()
@options.timeout(
    "Time limit for the model to become ready (default: host file, else estimated from earlier "
    "starts or its size)."
)
@options.grace()
@options.dry_run()
def load(
    run: Run,
    model: str,
    port: str,
    no_rollback: bool,
    no_keep: bool,
    download: bool,
    yes: bool,
    revision: str | None,
    **more: object,
) -> Answer:
    """Load MODEL on PORT and wait until it answers.

    MODEL is an entry, a repo (org/name), or the address of a repo on the Hub. If the new model
    fails to start, the previous one is started again.

    A download starts only for a full org/name, for the exact name of an entry that was never
    downloaded, or with --download, and only after its size, the free disk space and the memory
    were checked. An entry whose files are gone downloads nothing.

    A model serves on one port. With --move it leaves its old port once everything is checked; if it
    fails to start on the new one, it is started on the old one again."""
    if model.isdecimal() and int(model[:6]) in run.host.site["ports"] and not port.isdecimal():
        raise Usage(
            f"{model} is a port, and MODEL comes first", shlex.join(["mlxops", "load", port, model])
        )
    word = model_at(model, revision)
    args = {
        "model": word.name,
        "revision": word.revision,
        "port": port_word(run.host, port),
        "rollback": not no_rollback,
        "keep": not no_keep,
        **more,
    }
    if download:
        args["download"] = True
    if run.interactive and not yes:
        args["ask_above_bytes"] = ASK_ABOVE_BYTES
    result = _load_with_consent(run, args)
    refused = result.pop("refused", None)
    return Answer(result, load_result, from_wire(refused) if refused else None)


def _load_with_consent(run: Run, args: Result) -> Result:
    """Make the call; if the user at the terminal agrees, make it again: with the name that was
    meant, with --replace, with --move, or with the large download."""
    try:
        return run.call("load", args)
    except PortBusy as busy:
        # Without an occupant, something holds the port that --replace would not stop either.
        if "occupant" not in busy.fields or not run.confirm(_question(busy, args), "not loaded"):
            raise
        return _load_with_consent(run, {**args, "replace": True})
    except AssignmentConflict as conflict:
        question = f"{conflict.message}. Move it to {args['port']}?"
        if not conflict.fields.get("movable") or not run.confirm(question, "not loaded"):
            raise
        return _load_with_consent(run, {**args, "move": True})
    except ModelUnknown as unknown:
        near = unknown.fields.get("near") or []
        question = f"{unknown.message}. Did you mean {near[0] if near else ''}?"
        if len(near) != 1 or not run.confirm(question, "not loaded"):
            raise
        return _load_with_consent(run, {**args, "model": near[0]})
    except NeedsConsent as large:
        if not run.confirm(f"{large.message}. Download it?", "not loaded"):
            raise
        return _load_with_consent(run, {**args, "ask_above_bytes": None})


def _question(busy: PortBusy, args: Result) -> str:
    """Ask with the full name of the entry, even if MODEL was a part of it."""
    entry = busy.fields.get("entry")
    return f"{busy.message}. Stop it and load {entry or args['model']}?"
