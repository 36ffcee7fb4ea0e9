"""The verb history: who changed what, and when."""

from __future__ import annotations

import click

from ...render.history import HISTORY, history_details, history_table
from .. import options
from ..run import Answer, Run
from ..verb import verb
from ..words.moments import Moment


@verb(
    "history",
    "mlxops history",
    "mlxops history 8100 --since yesterday",
    "mlxops history jerry-xl -n 50",
    "mlxops history -n 1 -v",
)
@options.listing(HISTORY)
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
def history(run: Run, about: tuple[str, ...], count: int | None, since: str | None) -> Answer:
    """Show who changed what and when, newest first: loads, unloads, lost servers, and edits of
    entries.

    NAME may be an entry that was renamed or removed since. With -v, each change is shown in
    full."""
    args = {"about": list(about), "count": count, "since": since}
    text = history_details if run.flags.verbose else history_table
    return Answer(run.call("history", args), text)
