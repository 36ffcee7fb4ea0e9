"""The verb history: who changed what, and when; and the last edit taken back."""

from __future__ import annotations

from pathlib import Path

import click

from ...agent.errors import Usage
from ...render.history import (
    HISTORY,
    history_details,
    history_table,
    page_result,
    undo_plan,
    undo_question,
    undo_result,
)
from .. import options
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.moments import Moment

PAGE_ROWS = 2000


@verb(
    "history",
    "mlxops history",
    "mlxops history 8100 --since yesterday",
    "mlxops history jerry-xl -n 50",
    "mlxops history -n 1 -v",
    "mlxops history --since 30d --html studio.html",
    "mlxops history --undo --dry-run",
    reads=lambda given: not (given["undo"] or given["page"]),
)
@options.port("about", nargs=-1, metavar="[PORT|SLOT|NAME]...")
@click.option(
    "-n",
    "count",
    type=options.WholeNumber(1, 5000),
    metavar="N",
    help="Number of rows (default 20).",
)
@click.option(
    "--since",
    type=Moment(),
    metavar="TIME",
    help="Only changes since then: 2d, 90m, yesterday, 2026-11-27.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page with timelines, memory, load times and failures.",
)
@click.option("--force", is_flag=True, help="With --html: overwrite any file.")
@click.option("--undo", is_flag=True, help="Take back the last edit of entries.")
@options.dry_run()
@options.yes()
@options.listing(HISTORY)
def history(
    run: Run,
    about: tuple[str, ...],
    count: int | None,
    since: str | None,
    page: Path | None,
    force: bool,
    undo: bool,
    dry_run: bool,
    yes: bool,
) -> Answer:
    """Show who changed what and when, newest first: loads, unloads, lost servers, and edits of
    entries.

    NAME may be an entry that was renamed or removed since. With -v, each change is shown in full.

    --html writes one page without external resources. It holds up to 2000 changes (-n for another
    number), and replaces a page of an earlier call, but no other file.

    --undo takes back the last change if that was set, register, init, rename, remove or an undo,
    and only where nothing has changed it since. It moves no server: for a load or an unload it
    names the command to use. At a terminal you are asked to confirm."""
    if undo:
        if count or since or page:
            raise Usage(
                "--undo cannot be used with -n, --since and --html", "mlxops history --undo"
            )
        return _undo(run, list(about), dry_run, yes)
    if dry_run or yes:
        raise Usage("--dry-run and --yes need --undo", "mlxops history --undo")
    if force and not page:
        raise Usage("--force needs --html", "mlxops history --html FILE --force")
    args = {"about": list(about), "count": count, "since": since}
    if page:
        return _write_page(run, args, page, force)
    text = history_details if run.flags.verbose else history_table
    return Answer(run.call("history", args), text)


def _write_page(run: Run, args: Result, path: Path, force: bool) -> Answer:
    # Imported here: the other uses of the verb need none of it.
    from ...render.page.document import history_page
    from ...render.page.file import check_page_file, write_page

    check_page_file(path, force)
    result = run.call("history", {**args, "count": args["count"] or PAGE_ROWS, "samples": True})
    size = write_page(path, history_page(result, run.host.name), force)
    answer = {"path": str(path), "size_bytes": size, "count": len(result["changes"])}
    return Answer(answer, page_result)


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
