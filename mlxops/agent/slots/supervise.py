"""Start again what is wanted and proven gone, without a person.

Each start is a load by an agent of its own: a job like any other, which goes on if this process
ends."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..background import BackgroundCall
from ..clock import Deadline
from ..context import Context
from ..errors import MlxopsError, Unobservable, to_mlxops_error
from ..jobs import log as joblog
from ..jobs.backoff import FAILED, READY, REFUSED, Decision, Moment, decide
from ..jobs.job import logs_folder, running_job
from ..jobs.log import JobRecord, find_agent
from ..jobs.starts import Journal, Record, Records, read_starts, starts_of, this_moment
from ..ports.probe import call_all
from .conduct import Outcome, outcome_of
from .intent import PlanOptions, Target, find_targets
from .steps import Step

# As many as apply has by default: disks are shared.
MAX_STARTS_AT_ONCE = 2
# Less than reconcile's own time limit; what is not ready by then goes on alone.
WAIT_S = 90.0
CHECK_INTERVAL_S = 0.1
# The phases of a load before it starts a server.
BEFORE_LAUNCH = (None, "preflight", "claim", "download", "prepare")
# What journal and processes raise if they cannot be written or seen.
UNSURE = (MlxopsError, OSError, Unobservable)


class Restart(NamedTuple):
    """A server that is gone, and what is done about it. `verdict`: "start" (it is due), "ready",
    "starting", "failed", "wait", "held" or "left", if starting it is not up to mlxops.

    `wait_s`: seconds until it is due, for "wait". `recorded`: whether the journal has the start."""

    port: int
    entry: str
    verdict: str
    reason: str
    wait_s: Optional[float] = None
    recorded: bool = False

    @property
    def started(self) -> bool:
        return self.verdict in ("ready", "starting")

    @property
    def untried(self) -> bool:
        """Whether it was due, and the start could not be recorded."""
        return self.verdict == "failed" and not self.recorded

    def to_wire(self) -> Dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if key != "recorded"}


def restart_lost(ctx: Context, ports: Iterable[int], dry: bool) -> Tuple[Restart, ...]:
    """Start what these ports want, all proven idle; `dry`: only say what is due. Returns after
    WAIT_S, also if starts are under way."""
    # Without ports of its own it does not refuse a host file that is wrong elsewhere.
    targets = find_targets(ctx.site, ctx.store.read(), PlanOptions(ports=()))
    rows = [row for port in sorted(ports) for row in _judged(port, targets.get(port))]
    due = [row for row in rows if row.verdict == "start"]
    try:
        done = _decided(ctx, due) if dry else _started(ctx, due, _settle(ctx))
    except UNSURE as exc:
        done = [_failed(row, exc) for row in due]
    by_port = {row.port: row for row in done}
    return tuple(by_port.get(row.port, row) for row in rows)


def _judged(port: int, target: Optional[Target]) -> List[Restart]:
    """Whether the port's wanted entry may be started there; [] if no entry wants the port."""
    if target is None or target.wanted is None:
        return []
    left = Restart(port=port, entry=target.wanted, verdict="left", reason="")
    if target.problem is not None:
        return [left._replace(reason=target.problem.message)]
    if target.declared_for is not None:
        reason = "the host file declares it for port %d" % target.declared_for
        return [left._replace(reason=reason)]
    if target.entry is None or target.entry.name != target.wanted:
        return [left._replace(reason="the host file declares %s for the port" % target.model)]
    return [left._replace(verdict="start", reason="wanted, and gone")]


def _decided(ctx: Context, due: List[Restart]) -> List[Restart]:
    records, moment = read_starts(ctx.site.state_dir), this_moment(ctx.procs)
    return [_with_decision(row, records, moment) for row in due]


def _with_decision(row: Restart, records: Records, moment: Moment) -> Restart:
    decision = decide(starts_of(records, row.port, row.entry), moment)
    return row if decision.wait_s == 0 else _waiting(row, decision)


def _waiting(row: Restart, decision: Decision) -> Restart:
    verdict = "held" if decision.held else "wait"
    return row._replace(verdict=verdict, reason=decision.reason, wait_s=decision.wait_s)


def _failed(row: Restart, exc: Exception) -> Restart:
    return row._replace(verdict="failed", reason=to_mlxops_error(exc).message)


def _started(ctx: Context, due: List[Restart], running: int) -> List[Restart]:
    """`running`: how many starts of earlier runs are under way."""
    deadline = Deadline(WAIT_S)
    free = MAX_STARTS_AT_ONCE - running
    if free <= 0:
        return [_later(row, "%d other starts are under way" % running) for row in due]
    # call_all takes the last one first.
    calls = {row.port: partial(_start, ctx, row, deadline) for row in reversed(due)}
    return list(call_all(calls, free).values())


def _later(row: Restart, reason: str) -> Restart:
    return row._replace(verdict="wait", reason=reason, wait_s=0.0)


def _start(ctx: Context, row: Restart, deadline: Deadline) -> Restart:
    """Start one, unless another process has just done so."""
    if deadline.passed:
        return _later(row, "other starts came first")
    try:
        with Journal(ctx.procs, ctx.site.state_dir) as journal:
            row = _with_decision(row, journal.records, this_moment(ctx.procs))
            if row.verdict != "start":
                return row
            start = journal.begin(row.port, row.entry)
    except UNSURE as exc:
        return _failed(row, exc)
    call = BackgroundCall(partial(outcome_of, ctx, _step(row, start), lambda agent: None))
    while not call.done(CHECK_INTERVAL_S):
        # The end of this process, or of its client, does not end the start.
        ctx.client.check()
        if deadline.passed:
            reason = "not ready yet; mlxops jobs --follow %d" % row.port
            return row._replace(verdict="starting", reason=reason, recorded=True)
    return _ended(ctx, row, start, call.value())


def _step(row: Restart, start: str) -> Step:
    """Without --replace, --evict and --download: it takes nothing from others."""
    why = {"by_plan": True, "if_wanted": True, "start_id": start}
    args = {"model": row.entry, "port": row.port, **why}
    return Step(port=row.port, verb="load", args=args, after=(), need_bytes=None)


def _ended(ctx: Context, row: Restart, start: str, done: Outcome) -> Restart:
    """Record the end. If that fails, the next run does it."""
    if done.error is None:
        reason = "ready after %.0f s" % done.seconds
        outcome = READY if done.changed else REFUSED
    else:
        reason = done.error.message
        outcome = _failure(_job_of(ctx, start))
    with contextlib.suppress(*UNSURE), Journal(ctx.procs, ctx.site.state_dir) as journal:
        journal.end(start, outcome, reason)
    verdict = "ready" if done.error is None else "failed"
    return row._replace(verdict=verdict, reason=reason, recorded=True)


def _failure(job: Optional[JobRecord]) -> str:
    """Whether a server was started at all by a job that failed, or that never began."""
    return REFUSED if job is None or job.phase in BEFORE_LAUNCH else FAILED


def _job_of(ctx: Context, start: str) -> Optional[JobRecord]:
    """The job of a start; None if its load was refused before it began, or its log is gone."""
    folder = logs_folder(ctx.site.state_dir)
    jobs = (joblog.read_job(folder, name, running=False) for name in joblog.job_ids(folder))
    return next((job for job in jobs if job.begin_event.get("start_id") == start), None)


def _settle(ctx: Context) -> int:
    """Record what became of starts whose agents could not do so; return how many are under way."""
    if not read_starts(ctx.site.state_dir):
        return 0
    moment = this_moment(ctx.procs)
    with Journal(ctx.procs, ctx.site.state_dir) as journal:
        settled = tuple(_settled(ctx, record, moment) for record in journal.records)
        journal.replace(settled)
    return sum(r.start.outcome is None and r.start.moment.boot == moment.boot for r in settled)


def _settled(ctx: Context, record: Record, moment: Moment) -> Record:
    start = record.start
    if start.moment.boot != moment.boot and start.moment.at > moment.at:
        # An earlier clock was ahead: from now on the start gets older.
        start = start._replace(moment=start.moment._replace(at=moment.at))
    if start.outcome is None and not _is_under_way(ctx, record):
        job = _job_of(ctx, record.id)
        if job is not None and job.state != "died":
            error: Mapping[str, Any] = job.error or {}
            outcome = _failure(job) if job.error else READY
            start = start._replace(outcome=outcome, reason=str(error.get("message") or ""))
        elif start.moment.boot == moment.boot:
            start = start._replace(outcome=FAILED, reason="its load was killed")
    return record._replace(start=start)


def _is_under_way(ctx: Context, record: Record) -> bool:
    agent = {"pid": record.pid, "start_time": record.start_time}
    job = running_job(ctx.site.registry, record.port)
    return (job or {}).get("start_id") == record.id or find_agent(ctx.procs, agent) is not None
