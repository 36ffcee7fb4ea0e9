"""jobs, follow, cancel, lock: work that goes on without the client that asked for it."""

from __future__ import annotations

import re
import signal
import time
from functools import partial
from typing import Any, BinaryIO, Dict, Iterable, List, Mapping, Optional

from ..clock import Deadline, wait_for
from ..context import Context
from ..errors import Failed, NotStopped, Usage, from_wire
from ..jobs import log as joblog
from ..jobs.begin import current_job
from ..jobs.job import blocker, folder
from ..jobs.log import find_agent, log_path
from ..logs.lines import LineSplitter
from ..ports.portname import PortResolver
from ..registry.lock import FileLock, describe_holder, holder_hint

JOB_ID = re.compile(r"\d{8}T\d{6}-\d+-\d+", re.ASCII)
POLL_INTERVAL_S = 0.2
BLOCK, MAX_EVENT_BYTES = 1 << 16, 16 << 20
CANCEL_TIMEOUT_S = 120.0


def jobs(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    found = joblog.read_jobs(
        folder(ctx.site.state_dir), [str(held.get("job")) for held in _running(ctx)]
    )
    return {"jobs": [job.to_wire() for job in found]}


def lock(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Who holds the registry's lock and the ports', since when and why."""
    registry = ctx.site.registry
    held = FileLock(registry + ".lock", registry=registry).holder(shared=True)
    rows = [{"lock": "registry", "port": None, **_holder_row(held)}]
    rows += [
        {"lock": "port", "port": port, **_holder_row(blocker(registry, port))}
        for port in ctx.site.ports
    ]
    return {"locks": rows}


def _holder_row(held: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    keys = ("who", "from", "since", "why", "phase", "job", "pid")
    outsider = bool((held or {}).get("outsider"))
    return {
        "held": held is not None,
        "outsider": outsider,
        **{key: (held or {}).get(key) for key in keys},
    }


def _running(ctx: Context) -> List[Dict[str, Any]]:
    return [
        held for held in map(partial(current_job, ctx), ctx.site.ports) if held and held.get("job")
    ]


def _job(ctx: Context, verb: str, word: Optional[str]) -> str:
    """The id of the job meant: an id, the port it works on or last worked on, by its number or a
    name, or the only one that runs."""
    running = [str(held.get("job")) for held in _running(ctx)]
    if not word and len(running) == 1:
        return running[0]
    known = dict.fromkeys([*running, *joblog.job_ids(folder(ctx.site.state_dir))])
    if word and word not in known:
        match = _of_port(known, _port(ctx, verb, str(word)))
    else:
        match = [job for job in known if job == word]
    if match:
        return match[0]
    what = "no job %s" % word if word else _count(len(running))
    raise Failed("%s on %s" % (what, ctx.site.name), "mlxops jobs", job=word, running=running)


def _count(running: int) -> str:
    return "%d jobs are running" % running if running else "no job is running"


def _port(ctx: Context, verb: str, word: str) -> str:
    """The number of the port that a word means; the word itself where it means none."""
    if JOB_ID.fullmatch(word) or word.isdecimal():
        return word
    try:
        return str(PortResolver(ctx, verb).resolve(word))
    except Usage:
        return word


def _of_port(jobs: Iterable[str], port: str) -> List[str]:
    return [job for job in jobs if job.split("-")[1:2] == [port]]


def follow(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Its events from the beginning to its end; the error it ends with is the error of this
    verb."""
    job = _job(ctx, "follow", args.get("job"))
    home = folder(ctx.site.state_dir)
    try:
        with open(log_path(home, job), "rb") as f:
            _emit_events(ctx, f, job)
    except FileNotFoundError:
        raise Failed("job %s left no log" % job, "mlxops jobs", job=job) from None
    ended = joblog.read_job(home, job, running=False)
    if ended.error:
        raise from_wire(dict(ended.error))
    if ended.state == "died":
        phase = ended.phase or "claim"
        hint = str(ended.begin_event.get("again") or "mlxops status")
        raise Failed("job %s died in %s" % (job, phase), hint, job=job, phase=phase)
    return ended.to_wire()


def _emit_events(ctx: Context, f: BinaryIO, job: str) -> None:
    """Emit what is there and what comes, until the job's lock is free and all is told.

    An event that is only half written yet is waited for.
    """
    split = LineSplitter(MAX_EVENT_BYTES)
    while True:
        ctx.client.check()
        over = not _holds(ctx, job)
        for line in (
            line for block in iter(lambda: f.read(BLOCK), b"") for line in split.feed(block)
        ):
            event = joblog.parse_event(line)
            if event.get("event") not in (None, "begin", "end"):
                ctx.client.emit(str(event.pop("event")), **event)
        if over:
            return
        time.sleep(POLL_INTERVAL_S)


def _holds(ctx: Context, job: str) -> bool:
    return any(held.get("job") == job for held in _running(ctx))


def cancel(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Tell a running job to undo itself, and wait until it has."""
    _require_job(ctx, args.get("job"))
    job = _job(ctx, "cancel", args.get("job"))
    held = next((h for h in _running(ctx) if h.get("job") == job), None)
    if held is None:
        raise Failed("job %s has already finished" % job, "mlxops follow %s" % job, job=job)
    agent = find_agent(ctx.procs, held)
    if agent is None:
        raise NotStopped(
            "the agent of job %s cannot be told for sure" % job, "mlxops lock", job=job
        )
    ctx.client.emit("phase", phase="cancel", message="cancelling %s" % held.get("why"))
    ctx.procs.send(agent, signal.SIGTERM)
    if not wait_for(
        lambda: not _holds(ctx, job), Deadline(CANCEL_TIMEOUT_S), interval_s=POLL_INTERVAL_S
    ):
        raise NotStopped("job %s is still rolling back" % job, "mlxops follow %s" % job, job=job)
    ended = joblog.read_job(folder(ctx.site.state_dir), job, running=False)
    if ended.state == "done":
        text = "job %s had come to its end before it could be cancelled" % job
        raise Failed(text, "mlxops status %s" % held.get("port", ""), **ended.to_wire())
    return ended.to_wire()


def _require_job(ctx: Context, word: Optional[str]) -> None:
    """A port that is locked by something else than a job has nothing to cancel, and is not free
    either."""
    port = _port(ctx, "cancel", word) if word else ""
    if port.isdecimal() and int(port) in ctx.site.ports:
        held = blocker(ctx.site.registry, int(port))
        if held is not None and not held.get("job"):
            text = "port %s is locked by no job that could be cancelled: %s" % (
                port,
                describe_holder(held),
            )
            raise Failed(text, holder_hint(held), port=int(port), holder=held)
