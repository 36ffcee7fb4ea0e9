"""The history: jobs with the edits of the registry that they made, and all other edits. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..clock import epoch
from .edit import INTERNAL, MAX_CHANGES, OF_PORTS, Edit
from .work import Work

# An edit without its job's record belongs to the load before it on its port, within this time.
MAX_START_S = 6 * 3600.0
OUTCOMES = {"died": "killed"}


class HistoryRow(NamedTuple):
    """One change: a job with its edits, or an edit of the registry alone."""

    work: Optional[Work]
    edits: Tuple[Edit, ...]

    @property
    def at(self) -> str:
        return self.work.since if self.work else self.edits[0].at

    @property
    def kind(self) -> str:
        return self.work.kind if self.work else self.edits[0].kind

    @property
    def port(self) -> Optional[int]:
        return self.work.port if self.work else self.edits[0].port

    @property
    def names(self) -> Set[str]:
        """All names of entries in it."""
        named = {name for edit in self.edits for name in edit.entries}
        facts = self.work.facts if self.work else {}
        more = (facts.get("entry"), facts.get("previous"), self.work.named if self.work else None)
        return named | {name for name in (*more, self.entry) if isinstance(name, str)}

    @property
    def before(self) -> Optional[str]:
        """The entry that was on the port."""
        known = self.work.facts.get("previous") if self.work else None
        held = (edit.holder("before") for edit in self.edits)
        return known if isinstance(known, str) else next((name for name in held if name), None)

    @property
    def after(self) -> Optional[str]:
        """The entry that is on the port since, by the last edit of its assignment."""
        moved = [e for e in self.edits if any(c.field == "port" for c in e.changes)]
        return moved[-1].holder("after") if moved else None

    @property
    def entry(self) -> Optional[str]:
        known = self.work.facts.get("entry") if self.work else None
        if isinstance(known, str):
            return known
        if self.kind in ("unload", "lost"):
            return self.before
        loaded = (edit.entry for edit in self.edits if edit.kind in ("load", "lost"))
        # Of a renamed entry, the new name.
        names = {name for edit in self.edits for name in edit.entries}
        names = names - {name for edit in self.edits for name in edit.removed} or names
        only = names.pop() if len(names) == 1 else None
        named = self.work.named if self.work else None
        return next((name for name in loaded if name), None) or named or only

    @property
    def outcome(self) -> str:
        """done, failed, cancelled, killed or running."""
        if self.work:
            return OUTCOMES.get(self.work.state, self.work.state)
        started = self.kind == "load" and any(c.field == "port" for c in self.edits[0].changes)
        return "failed" if started and self.edits[-1].kind != "ready" else "done"

    @property
    def ended(self) -> Optional[str]:
        return self.work.ended if self.work else self.edits[-1].at

    @property
    def duration_s(self) -> Optional[float]:
        exact = self.work.facts.get("duration_s") if self.work else None
        if type(exact) in (int, float):
            return exact
        began, ended = epoch(self.at), epoch(self.ended)
        if began is None or ended is None or (not self.work and len(self.edits) < 2):
            return None
        return max(0.0, ended - began)

    def to_wire(self) -> Dict[str, Any]:
        source = self.work or self.edits[0]
        facts = self.work.facts if self.work else {}
        changes = [c.to_wire() for e in self.edits for c in e.changes if c.field not in INTERNAL]
        return {
            "at": self.at,
            "ended": self.ended,
            "who": source.who,
            "from": source.origin,
            "what": self.kind,
            "why": source.why,
            "port": self.port,
            "entry": self.entry,
            "before": self.before,
            "after": self.after,
            "outcome": self.outcome,
            "reason": self.reason,
            "duration_s": self.duration_s,
            **{key: number_or_none(facts.get(key)) for key in ("start_s", "memory_bytes")},
            "job": self.work.id if self.work else None,
            "added": [name for edit in self.edits for name in edit.added],
            "removed": [name for edit in self.edits for name in edit.removed],
            "changes": changes[:MAX_CHANGES],
        }

    @property
    def reason(self) -> Optional[str]:
        """Why it failed, or how the server was lost."""
        if self.work and self.work.error:
            return str(self.work.error.get("message"))
        if self.kind != "lost":
            return None
        gone = [c.after for e in self.edits for c in e.changes if c.field == "last_process"]
        how = gone[-1].get("gone") if gone and isinstance(gone[-1], dict) else None
        return how if isinstance(how, str) else None


def number_or_none(value: Any) -> Optional[float]:
    return value if type(value) in (int, float) else None


def merge(works: Iterable[Work], edits: Sequence[Edit]) -> List[HistoryRow]:
    """The rows, newest first. `edits`: oldest first."""
    by_port: Dict[Optional[int], List[Work]] = {}
    for work in works:
        by_port.setdefault(work.port, []).append(work)
    of_work: Dict[str, List[Edit]] = {}
    alone: List[List[Edit]] = []
    starting: Dict[int, List[Edit]] = {}
    for edit in edits:
        job = _job_of(edit, by_port.get(edit.port, ()))
        if job:
            of_work.setdefault(job.id, []).append(edit)
        elif not _continues(starting, edit):
            alone.append([edit])
            if edit.kind == "load" and edit.port is not None:
                starting[edit.port] = alone[-1]
    rows = [HistoryRow(None, tuple(group)) for group in alone]
    for work in (work for group in by_port.values() for work in group):
        made = tuple(of_work.get(work.id, ()))
        # A look that changed nothing is left out.
        if made or work.kind not in ("lost", "adopt"):
            rows.append(HistoryRow(work, made))
    order = {id(edit): number for number, edit in enumerate(edits)}
    return sorted(
        rows, key=lambda row: (row.at, order[id(row.edits[0])] if row.edits else -1), reverse=True
    )


def _job_of(edit: Edit, works: Sequence[Work]) -> Optional[Work]:
    """The job that made an edit: jobs on a port never overlap, except for the second in which one
    ends and the next begins."""
    if edit.kind not in OF_PORTS:
        return None
    covering = [work for work in works if work.covers(edit.at)]
    fitting = [work for work in covering if work.makes(edit.kind)]
    return next(reversed(fitting or covering), None)


def _continues(starting: Dict[int, List[Edit]], edit: Edit) -> bool:
    """Whether an edit belongs to the load before it on the port; then it is added to that."""
    group = starting.get(edit.port) if edit.port is not None else None
    if edit.port is None or group is None:
        return False
    late = (epoch(edit.at) or 0.0) - (epoch(group[0].at) or 0.0) > MAX_START_S
    if edit.kind not in ("ready", "undone") or late:
        if edit.kind in OF_PORTS:
            del starting[edit.port]
        return False
    group.append(edit)
    del starting[edit.port]
    return True
