"""Read the history of a host from its files, bounded, from the end."""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from ..context import Context
from ..jobs import log as joblog
from ..jobs.finished import finished_path
from ..jobs.job import logs_folder, running_job
from ..line_file import Records, read_newest
from .edit import Edit, parse_edit
from .rows import HistoryRow, merge
from .work import Work, newest_of_each, parse_work

# Both files of each kind at the size at which they are replaced, with some to spare.
MAX_READ_BYTES = 20 << 20
# Enough for the default number of rows; more is read only where that does not suffice.
FIRST_READ_BYTES = 256 << 10


class History(NamedTuple):
    """Rows, newest first, and what kept others out. `whole`: nothing older is on record."""

    rows: List[HistoryRow]
    whole: bool
    damaged: int
    unreadable: Tuple[str, ...]


def read_history(ctx: Context, enough: Callable[[List[HistoryRow]], bool]) -> History:
    """The history; older parts of the files only as long as the rows are not enough."""
    size = FIRST_READ_BYTES
    while True:
        history = _read(ctx, size)
        if history.whole or size >= MAX_READ_BYTES or enough(history.rows):
            return history
        size = min(size * 16, MAX_READ_BYTES)


def read_edits(ctx: Context, max_bytes: int) -> Tuple[List[Edit], Records]:
    """The edits of the registry, oldest first."""
    lines = read_newest(ctx.store.history, max_bytes)
    edits = [edit for edit in map(parse_edit, lines.records) if edit]
    return edits, lines._replace(damaged=lines.damaged + len(lines.records) - len(edits))


def _read(ctx: Context, max_bytes: int) -> History:
    edits, lines = read_edits(ctx, max_bytes)
    works, jobs = _works(ctx, max_bytes)
    # What one file still shows, and the other does not, would be a row with a part missing.
    since = "" if lines.whole or not edits else edits[0].at
    rows = [row for row in merge(works, edits) if row.at >= since]
    files = (lines, jobs)
    return History(
        rows=rows,
        whole=all(one.whole for one in files),
        damaged=sum(one.damaged for one in files),
        unreadable=tuple(one.unreadable for one in files if one.unreadable),
    )


def _works(ctx: Context, max_bytes: int) -> Tuple[List[Work], Records]:
    """The jobs on record, and those whose log is there: running, killed, or of earlier versions."""
    lines = read_newest(finished_path(ctx.site.state_dir), max_bytes)
    parsed = [work for work in map(parse_work, lines.records) if work]
    works = newest_of_each(parsed)
    known = {work.id for work in works}
    folder = logs_folder(ctx.site.state_dir)
    running = {str((_holder(ctx, port) or {}).get("job")) for port in ctx.site.ports}
    others = (
        joblog.read_job(folder, name, name in running)
        for name in joblog.job_ids(folder)[: joblog.MAX_LOGS]
        if name not in known
    )
    logged = (parse_work({**job.to_wire(), "error": job.error}) for job in others)
    damaged = lines.damaged + len(lines.records) - len(parsed)
    return [*works, *(work for work in logged if work)], lines._replace(damaged=damaged)


def _holder(ctx: Context, port: int) -> Optional[Any]:
    return running_job(ctx.site.registry, port)
