"""One job, finished or not, from the record of finished jobs or its own log. Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from ..clock import epoch
from .edit import text_or_none

LOAD = re.compile(r"(?:load|restart) (?P<entry>.+) \d+")
# The words of edits -> the first word of a job that makes them.
JOB_WORDS = {
    "load": ("load", "restart", "apply"),
    "ready": ("load", "restart", "apply"),
    "undone": ("load", "restart", "apply"),
    "unload": ("unload",),
    "lost": ("reconcile",),
    "adopt": ("note",),
}


class Work(NamedTuple):
    """A job. `state`: running, done, cancelled, failed, or died if it was killed. `facts`: what it
    noted, such as entry, previous, start_s and memory_bytes."""

    id: str
    state: str
    port: Optional[int]
    why: str
    who: Optional[str]
    origin: Optional[str]
    since: str
    ended: Optional[str]
    error: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def kind(self) -> str:
        word = self.why.partition(" ")[0]
        return {"note": "adopt", "reconcile": "lost"}.get(word, word)

    @property
    def named(self) -> Optional[str]:
        """The model that its command named."""
        match = LOAD.fullmatch(self.why)
        return match["entry"] if match else None

    def covers(self, at: str) -> bool:
        """Whether a moment is between its beginning and its end. Times are to the second."""
        return self.since <= at and (self.ended is None or at <= self.ended)

    def makes(self, kind: str) -> bool:
        """Whether its command makes such edits."""
        return self.why.partition(" ")[0] in JOB_WORDS.get(kind, ())


def parse_work(line: Mapping[str, Any]) -> Optional[Work]:
    """The job of a line; None if the line is damaged."""
    port, since, error = line.get("port"), line.get("since"), line.get("error")
    if not isinstance(line.get("job"), str) or epoch(since) is None:
        return None
    return Work(
        id=line["job"],
        state=str(line.get("state")),
        port=port if type(port) is int else None,
        why=text_or_none(line.get("why")) or "job",
        who=text_or_none(line.get("who")),
        origin=text_or_none(line.get("from")),
        since=str(since),
        ended=text_or_none(line.get("ended")) if epoch(line.get("ended")) is not None else None,
        error=error if isinstance(error, dict) else {},
        facts=line,
    )


def newest_of_each(works: List[Work]) -> List[Work]:
    """One of each id, the last: a job whose log was pruned while it ran is recorded twice."""
    by_id: Dict[str, Work] = {work.id: work for work in works}
    return list(by_id.values())
