"""jobs, follow, cancel, lock: jobs, which go on without their client, and the locks they hold."""

from __future__ import annotations

import signal
import time
from typing import Any, BinaryIO, Dict, Iterable, List, Mapping, Optional, Sequence

from ..clock import Deadline, epoch, wait_for
from ..context import Context
from ..errors import Failed, MlxopsError, NotStopped, Usage, from_wire
from ..jobs import log as joblog
from ..jobs.job import NO_PORT, blocker, logs_folder, running_job
from ..jobs.log import find_agent, log_path
from ..logs.lines import LineSplitter
from ..ports.portname import PortResolver
from ..registry.lock import FileLock, describe_holder, holder_hint

POLL_INTERVAL_S = 0.2
BLOCK, MAX_EVENT_BYTES = 1 << 16, 16 << 20
CANCEL_TIMEOUT_S = 120.0
MAX_CANDIDATES = 5


def jobs(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """All jobs, or those that a word means: an id or its beginning, or a port by number or name;
    Usage if it means nothing. `short`: the part of the id that other verbs accept."""
    records = joblog.read_jobs(
        logs_folder(ctx.site.state_dir), [str(holder.get("job")) for holder in _running(ctx)]
    )
    short = joblog.short_ids(record.job for record in records)
    rows = [{**record.to_wire(), "short": short[record.job]} for record in records]
    word = args.get("job")
    if word:
        meant = _meant(ctx, "jobs", list(short), str(word))
        if not meant and word not in map(str, ctx.site.ports):
            PortResolver(ctx, "jobs").resolve(str(word))
        rows = [row for row in rows if row["job"] in meant]
    return {"jobs": rows}


def lock(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Who holds the locks of the registry and the ports, since when and why."""
    registry = ctx.site.registry
    holder = FileLock(registry + ".lock", registry=registry).holder(shared=True)
    rows = [{"lock": "registry", "port": None, **_holder_row(holder)}]
    rows += [{"lock": "port", "port": port, **_port_row(ctx, port)} for port in ctx.site.ports]
    return {"locks": rows}


def _port_row(ctx: Context, port: int) -> Dict[str, Any]:
    """A lock that is not a file blocks its port, and nobody holds it."""
    try:
        return _holder_row(blocker(ctx.site.registry, port))
    except Failed as exc:
        ctx.report("%s (%s)" % (exc.message, exc.hint))
        return _holder_row(None)


def _holder_row(holder: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    keys = ("who", "from", "since", "why", "phase", "job", "pid")
    outsider = bool((holder or {}).get("outsider"))
    return {
        "held": holder is not None,
        "outsider": outsider,
        **{key: (holder or {}).get(key) for key in keys},
    }


def _running(ctx: Context) -> List[Dict[str, Any]]:
    holders = [running_job(ctx.site.registry, port) for port in (*ctx.site.ports, NO_PORT)]
    return [holder for holder in holders if holder and holder.get("job")]


def _job(ctx: Context, verb: str, word: Optional[str]) -> str:
    """The id of the job, given by its id or a part of it, by port (number or name), or not at all
    if one is running."""
    running = [str(holder.get("job")) for holder in _running(ctx)]
    if not word and len(running) == 1:
        return running[0]
    known = list(dict.fromkeys([*running, *joblog.job_ids(logs_folder(ctx.site.state_dir))]))
    meant = _meant(ctx, verb, known, str(word)) if word else []
    here = [job for job in meant if job in running] or (meant if _is_id(meant, word) else [])
    if here:
        return here[0]
    if meant:
        where = "on port %s" % meant[0].split("-")[1]
        raise _idle_error(ctx, where, meant[0])
    port = _port(ctx, verb, word) if word else ""
    if port.isdecimal():
        text = "no job is running on port %s" % port
    elif word:
        text = "no job %s on %s" % (word, ctx.site.name)
    elif running:
        text = "%d jobs are running on %s: name one" % (len(running), ctx.site.name)
    elif known:
        raise _idle_error(ctx, "on %s" % ctx.site.name, known[0])
    else:
        text = "no job is running on %s" % ctx.site.name
    raise Failed(text, "mlxops jobs", job=word, running=running)


def _is_id(jobs: Sequence[str], word: Optional[str]) -> bool:
    """Whether the word is an id or its beginning, and not a port, which means what runs there."""
    return not _is_port_number(str(word)) and bool(joblog.ids_like(jobs, str(word)))


def _meant(ctx: Context, verb: str, known: Sequence[str], word: str) -> List[str]:
    """The jobs that a word means, newest first: of a port all, else at most one."""
    like = [] if _is_port_number(word) else joblog.ids_like(known, word)
    if len(like) > 1:
        some = ", ".join(like[:MAX_CANDIDATES])
        raise Usage("%s means %d jobs: %s" % (word, len(like), some), "mlxops jobs", jobs=like)
    return like or _of_port(known, _port(ctx, verb, word))


def _is_port_number(word: str) -> bool:
    return word.isdecimal() and len(word) <= 5


def _idle_error(ctx: Context, where: str, job: str) -> Failed:
    """The error for a host or a port without a running job. `job`: the last one that ran there."""
    last = joblog.read_job(logs_folder(ctx.site.state_dir), job, running=False)
    port, ended = job.split("-")[1], epoch(last.ended)
    when = " ended %s ago:" % _rounded(max(0.0, time.time() - ended)) if ended else ":"
    text = "no job is running %s; the last one (%s)%s %s"
    message = text % (where, last.begin_event.get("why"), when, last.state)
    hint = "how it ended: mlxops jobs --follow %s" % job
    return Failed(message, hint, port=int(port), last=last.to_wire())


def _rounded(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return "%d %s" % (seconds / size, unit)
    return "%d s" % seconds


def _port(ctx: Context, verb: str, word: str) -> str:
    """The port that the word means, as text; else the word itself."""
    if word.isdecimal():
        return word
    try:
        return str(PortResolver(ctx, verb).resolve(word))
    except Usage:
        return word


def _of_port(jobs: Iterable[str], port: str) -> List[str]:
    return [job for job in jobs if job.split("-")[1:2] == [port]]


def follow(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Send the job's events from its beginning to its end; raise the error it ends with. Of a job
    that is over, only return how it ended: `over`, and `error`."""
    job = _job(ctx, "follow", args.get("job"))
    home = logs_folder(ctx.site.state_dir)
    if not _holds(ctx, job):
        record = joblog.read_job(home, job, running=False)
        error = _end_error(record)
        return {**record.to_wire(), "over": True, "error": error.to_wire() if error else None}
    try:
        with open(log_path(home, job), "rb") as f:
            record = joblog.read_job(home, job, running=True)
            _emit_job(ctx, record)
            _emit_events(ctx, f, record)
    except FileNotFoundError:
        raise Failed("job %s has no log" % job, "mlxops jobs", job=job) from None
    ended = joblog.read_job(home, job, running=False)
    failure = _end_error(ended)
    if failure is not None:
        raise failure
    return ended.to_wire()


def _end_error(ended: joblog.JobRecord) -> Optional[MlxopsError]:
    """The error that a job ended with, if it did."""
    if ended.error:
        return from_wire(dict(ended.error))
    if ended.state != "died":
        return None
    phase = ended.phase or "claim"
    hint = str(ended.begin_event.get("again") or "mlxops status")
    text = "job %s was killed in phase %s" % (ended.job, phase)
    return Failed(text, hint, job=ended.job, phase=phase)


def _emit_job(ctx: Context, job: joblog.JobRecord) -> None:
    """Send what the job is, and how long it has been running."""
    began = epoch(job.begin_event.get("since"))
    age_s = _seconds_between(began, time.time())
    entry, port = job.begin_event.get("entry"), job.begin_event.get("port")
    ctx.client.emit("job", job=job.job, port=port, entry=entry, age_s=age_s)


def _emit_events(ctx: Context, f: BinaryIO, job: joblog.JobRecord) -> None:
    """Emit all events until the job's lock is free and its log is read to the end. `elapsed_s`:
    from the beginning of the job to the event."""
    split, port = LineSplitter(MAX_EVENT_BYTES), int(job.job.split("-")[1])
    began = epoch(job.begin_event.get("since"))
    while True:
        ctx.client.check()
        over = not _holds(ctx, job.job)
        for line in (
            line for block in iter(lambda: f.read(BLOCK), b"") for line in split.feed(block)
        ):
            event = joblog.parse_event(line)
            if event.get("event") not in (None, "begin", "end"):
                elapsed = _seconds_between(began, epoch(event.get("at")))
                more = {"port": port, "elapsed_s": elapsed}
                ctx.client.emit(str(event.pop("event")), **{**event, **more})
        if over:
            return
        time.sleep(POLL_INTERVAL_S)


def _seconds_between(begin: Optional[float], end: Optional[float]) -> Optional[float]:
    return None if begin is None or end is None else max(0.0, end - begin)


def _holds(ctx: Context, job: str) -> bool:
    return any(holder.get("job") == job for holder in _running(ctx))


def cancel(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Cancel a running job, and wait until it has rolled back."""
    _require_job(ctx, args.get("job"))
    job = _job(ctx, "cancel", args.get("job"))
    holder = next((h for h in _running(ctx) if h.get("job") == job), None)
    if holder is None:
        raise Failed("job %s has already finished" % job, "mlxops jobs", job=job)
    agent = find_agent(ctx.procs, holder)
    if agent is None:
        raise NotStopped(
            "cannot identify the agent process of job %s, so no signal was sent" % job,
            "mlxops jobs --locks",
            job=job,
        )
    ctx.client.emit("phase", phase="cancel", message="cancelling %s" % holder.get("why"))
    ctx.procs.send(agent, signal.SIGTERM)
    if not wait_for(
        lambda: not _holds(ctx, job), Deadline(CANCEL_TIMEOUT_S), interval_s=POLL_INTERVAL_S
    ):
        raise NotStopped(
            "job %s is still rolling back" % job, "mlxops jobs --follow %s" % job, job=job
        )
    ended = joblog.read_job(logs_folder(ctx.site.state_dir), job, running=False)
    if ended.state == "done":
        text = "job %s finished before it could be cancelled" % job
        raise Failed(text, "mlxops status %s" % holder.get("port", ""), **ended.to_wire())
    return ended.to_wire()


def _require_job(ctx: Context, word: Optional[str]) -> None:
    """Failed if another process than a job has locked the port: there is nothing to cancel."""
    port = _port(ctx, "cancel", word) if word else ""
    if port.isdecimal() and int(port) in ctx.site.ports:
        holder = blocker(ctx.site.registry, int(port))
        if holder is not None and not holder.get("job"):
            text = "port %s is locked, but not by a job that can be cancelled: %s" % (
                port,
                describe_holder(holder),
            )
            raise Failed(text, holder_hint(holder), port=int(port), holder=holder)
