"""The verb history: who changed what, and when; and the last edit taken back."""

from __future__ import annotations

import click

from ...agent.errors import Usage
from ...render.history import (
    HISTORY,
    history_details,
    history_table,
    undo_plan,
    undo_question,
    undo_result,
)
from .. import options
from ..run import Answer, Result, Run
from ..verb import unless, verb
from ..words.moments import Moment


@verb(
    "history",
    "mlxops history",
    "mlxops history 8100 --since yesterday",
    "mlxops history jerry-xl -n 50",
    "mlxops history -n 1 -v",
    "mlxops history --undo --dry-run",
    reads=unless("undo"),
)
@options.port("about", nargs=-1, metavar="[PORT|SLOT|NAME]...")
@click.option(
    "-n", "count", type=options.WholeNumber(1, 5000), metavar="N", help="Rows (default 20)."
)
@click.option(
    "--since",
    type=Moment(),
    metavar="TIME",
    help="Only what is newer: 2d, 90m, yesterday, 2026-11-27.",
)
@click.option("--undo", is_flag=True, help="Take back the last edit of entries.")
@options.dry_run()
@options.yes()
@options.listing(HISTORY)
def history(
    run: Run,
    about: tuple[str, ...],
    count: int | None,
    since: str | None,
    undo: bool,
    dry_run: bool,
    yes: bool,
) -> Answer:
    """Show who changed what and when, newest first: loads, unloads, lost servers, and edits of
    entries.

    NAME may be an entry that was renamed or removed since. With -v, each change is shown in full.

    --undo takes back the last change if that was set, register, init, rename, remove or an undo,
    and only where nothing has changed it since. It moves no server: for a load or an unload it
    names the command to use. At a terminal you are asked to confirm."""
    if undo:
        if count or since:
            raise Usage("--undo cannot be used with -n and --since", "mlxops history --undo")
        return _undo(run, list(about), dry_run, yes)
    if dry_run or yes:
        raise Usage("--dry-run and --yes need --undo", "mlxops history --undo")
    args = {"about": list(about), "count": count, "since": since}
    text = history_details if run.flags.verbose else history_table
    return Answer(run.call("history", args), text)


def _undo(run: Run, about: list[str], dry_run: bool, yes: bool) -> Answer:
    args: Result = {"about": about}
    if dry_run:
        return Answer(run.call("undo", {**args, "dry_run": True}), undo_plan)
    if run.interactive and not yes:
        preview = run.call("undo", {**args, "dry_run": True})
        run.preview(undo_plan(preview, run.console.err_style))
        run.confirm(undo_question(preview), "nothing was changed")
        args["expect"] = preview["edit"]
    return Answer(run.call("undo", args), undo_result)
