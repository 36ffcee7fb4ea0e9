"""Read the logs of jobs: what each did, how far it came, how it ended."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ..procs import Process, Procs

MAX_SEARCHED_JOBS = 200
# The first words of what a job does, if it starts a model.
LOAD_VERBS = ("load", "restart")


class JobRecord(NamedTuple):
    """One job, from its log. `state`: running, done, cancelled, failed, or died if its log has no
    end.

    `error`: as on the wire. `ended`: in UTC. `progress`: of a running download, in bytes."""

    job: str
    state: str
    begin_event: Mapping[str, Any]
    phase: Optional[str]
    error: Optional[Mapping[str, Any]]
    ended: Optional[str] = None
    progress: Optional[Mapping[str, Any]] = None

    def to_wire(self) -> Dict[str, Any]:
        begun = {key: self.begin_event.get(key) for key in ("port", "why", "who", "from", "since")}
        message = self.error.get("message") if self.error else None
        more = {"ended": self.ended, "progress": dict(self.progress) if self.progress else None}
        return {
            "job": self.job,
            "state": self.state,
            **begun,
            "port": begun["port"] or None,
            "phase": self.phase,
            "message": message,
            **more,
        }


def read_jobs(folder: str, running: Iterable[str]) -> List[JobRecord]:
    """Every job that has a log, newest first. `running`: the ids of the jobs that hold a lock."""
    alive = set(running)
    return [read_job(folder, name, name in alive) for name in job_ids(folder)]


def job_ids(folder: str) -> List[str]:
    """The ids of jobs, newest first."""
    try:
        files = os.listdir(folder)
    except OSError:
        return []
    return newest_first(n[: -len(".jsonl")] for n in files if n.endswith(".jsonl"))


def short_ids(jobs: Iterable[str]) -> Dict[str, str]:
    """The part of each id after its time, PORT-PID, or the whole id if two end so."""
    ids = list(jobs)
    ends = Counter(_port_and_pid(job) for job in ids)
    return {job: end if ends[end] == 1 else job for job in ids for end in [_port_and_pid(job)]}


def _port_and_pid(job: str) -> str:
    return job.partition("-")[2] or job


def ids_like(jobs: Iterable[str], word: str) -> List[str]:
    """The ids that a word means: the whole id, its beginning, or its end after the time."""
    ids = list(jobs)
    if word in ids:
        return [word]
    return [job for job in ids if job.startswith(word) or _port_and_pid(job) == word]


def last_loads(
    folder: str, concerns: Callable[[Mapping[str, Any]], bool]
) -> Tuple[Optional[JobRecord], Optional[JobRecord]]:
    """The last load that succeeded and the last that failed, of those whose begin event
    `concerns`, among the newest jobs."""
    done: Optional[JobRecord] = None
    failed: Optional[JobRecord] = None
    for job in job_ids(folder)[:MAX_SEARCHED_JOBS]:
        record = read_job(folder, job, running=False)
        verb = str(record.begin_event.get("why")).partition(" ")[0]
        if verb not in LOAD_VERBS or not concerns(record.begin_event):
            continue
        done = done or (record if record.state == "done" else None)
        failed = failed or (record if record.state == "failed" else None)
        if done and failed:
            break
    return done, failed


def read_job(folder: str, job: str, running: bool) -> JobRecord:
    lines = list(events(log_path(folder, job)))
    begun = next((e for e in lines if e.get("event") == "begin"), {})
    phases = [e.get("phase") for e in lines if e.get("event") == "phase"]
    end = next((e for e in lines if e.get("event") == "end"), None)
    begun = begun or _begin_event_from_id(job)
    failure = end.get("error") if end else None
    state = "running" if running else "died" if end is None else outcome(failure)
    error = failure if isinstance(failure, dict) else None
    ended = str(end.get("at")) if end else None
    return JobRecord(
        job=job,
        state=state,
        begin_event=begun,
        phase=phases[-1] if phases else None,
        error=error,
        ended=ended,
        progress=_last_progress(lines) if running else None,
    )


def _last_progress(events: Sequence[Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    """The last progress; None once another phase has begun."""
    steps = [event for event in events if event.get("event") in ("progress", "phase")]
    last: Mapping[str, Any] = steps[-1] if steps else {}
    return (
        {key: last.get(key) for key in ("done", "total")}
        if last.get("event") == "progress"
        else None
    )


def _begin_event_from_id(job: str) -> Dict[str, Any]:
    """The begin event of a job whose first line was lost, from its id."""
    stamp, _, rest = job.partition("-")
    port = rest.partition("-")[0]
    try:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.strptime(stamp, "%Y%m%dT%H%M%S"))
        return {"port": int(port), "since": since, "why": "unknown: its log has no beginning"}
    except ValueError:
        return {}


def outcome(error: Any) -> str:
    """The state of a job that ended with this error, {} or None without one."""
    kind = error.get("kind") if isinstance(error, dict) else None
    return "cancelled" if kind == "Interrupted" else "failed" if error else "done"


def unfinished_job(folder: str, port: int, procs: Procs) -> Optional[Mapping[str, Any]]:
    """The begin event of a job on the port that has no end and whose agent is alive, or None."""
    for name in job_ids(folder):
        if name.split("-")[1:2] == [str(port)]:
            record = read_job(folder, name, running=False)
            if record.state == "died" and find_agent(procs, record.begin_event):
                return record.begin_event
    return None


def parse_event(line: str) -> Dict[str, Any]:
    """One event of a log; {} for a line that a kill or a full disk cut short."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def events(path: str) -> Iterator[Dict[str, Any]]:
    try:
        with open(path, errors="replace") as f:
            for line in f:
                yield parse_event(line)
    except OSError:
        return


MAX_LOGS = 50
# The beginning of a job's id, and how far ahead of the clock it may be.
STAMP, MAX_CLOCK_SKEW_S = "%Y%m%dT%H%M%S", 60.0


def log_path(folder: str, job: str) -> str:
    return os.path.join(folder, job + ".jsonl")


def find_agent(procs: Procs, job: Mapping[str, Any]) -> Optional[Process]:
    """The running agent that a lock names, by pid and start time; may raise Unobservable."""
    pid = job.get("pid")
    agent = procs.process(pid) if type(pid) is int and 0 < pid < 1 << 31 else None
    return agent if agent is not None and agent.start_time == job.get("start_time") else None


def newest_first(names: Iterable[str]) -> List[str]:
    """Sort the ids of jobs by time. One from a clock that ran ahead counts as the oldest, or it
    would hide later jobs for years."""
    latest = time.strftime(STAMP, time.gmtime(time.time() + MAX_CLOCK_SKEW_S))
    return sorted(
        names, key=lambda name: (name[: len(latest)] <= latest, _sort_key(name)), reverse=True
    )


def _sort_key(name: str) -> Tuple[str, int, str]:
    """The sort key: the second, then the agent's pid, which orders two jobs in one second unless
    pids wrapped around."""
    stamp, _, rest = name.partition("-")
    pid = rest.partition("-")[2].partition(".")[0]
    return stamp, int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 12 else 0, name


def old_logs(folder: str) -> List[str]:
    """The names of all job logs but the newest MAX_LOGS."""
    try:
        return newest_first(n for n in os.listdir(folder) if n.endswith(".jsonl"))[MAX_LOGS:]
    except OSError:
        return []
