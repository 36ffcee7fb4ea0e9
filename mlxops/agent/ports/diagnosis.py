"""Diagnose a port: from the evidence to its state and its drift. Pure."""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Optional, Tuple

from ..clock import utc
from ..registry.entries import Entry
from ..runtimes.secrets import shown_option
from ..runtimes.table import Invocation, extra_flags, flags_of, has_value
from .evidence import Expected, PortEvidence, Server

# The kernel accepts connections for a hung server until its queue is full: an accepted connection
# proves nothing.
_MUTE, TIMED_OUT = "the server listens but does not answer HTTP: %s", "timed out"
SWITCHED = "a client asked for another model by name, which it may serve now"
STOP_PHASES = ("stop",)
START_PHASES = ("launch", "wait", "commit", "rollback")

# A port in one of these states, and with no job, is broken whatever the registry says.
BROKEN_STATES = ("dead-child", "unresponsive", "failed")


class Diagnosis(NamedTuple):
    """A state and a drift. `drift` None: registry and evidence agree, or the drift is unknown."""

    state: str
    drift: Optional[str]
    reason: str

    @property
    def broken(self) -> bool:
        """Whether the state is a problem that the drift does not already report."""
        is_reported = self.drift if self.state == "failed" else self.drift in ("foreign", "orphan")
        return self.state in BROKEN_STATES and not is_reported


def diagnose(seen: PortEvidence, expected: Expected) -> Diagnosis:
    """Diagnose one port. A port with a job, or one that could not be observed, has no drift.

    The reason ends with the load that was killed here, if there was one."""
    verdict = _diagnose(seen, expected)
    if (
        seen.interrupted_load is None
        or seen.job is not None
        or (verdict.state == "ready" and _load_completed(seen, expected))
    ):
        return verdict
    return verdict._replace(
        reason="; ".join(
            filter(None, [verdict.reason, _describe_interrupted(seen.interrupted_load)])
        )
    )


def _diagnose(evidence: PortEvidence, expected: Expected) -> Diagnosis:
    phase = str((evidence.job or {}).get("phase", ""))
    if phase in STOP_PHASES + START_PHASES:
        return Diagnosis(
            _job_state(evidence.job or {}, phase), None, _describe_job(evidence.job or {})
        )
    if evidence.unknown:
        return Diagnosis("unknown", None, "; ".join(evidence.unknown))
    state, reason = _state(evidence, expected)
    if evidence.job is not None:
        return Diagnosis(state, None, _describe_job(evidence.job))
    drift, why = _drift(evidence, expected)
    both = state in ("dead-child", "unresponsive") and drift != "foreign"
    return Diagnosis(
        state, drift, "; ".join(filter(None, (reason, why))) if both else why or reason
    )


def _load_completed(evidence: PortEvidence, expected: Expected) -> bool:
    """Whether the model of the interrupted load is ready after all: it was killed at its very
    end."""
    entries = (evidence.interrupted_load or {}).get("entries") or [None]
    return evidence.server is not None and [e.name for e in expected.entries] == entries[:1]


def _describe_interrupted(cut: Mapping[str, object]) -> str:
    values = tuple(cut.get(key, "?") for key in ("why", "who", "from", "since", "phase", "again"))
    return "%s (started by %s from %s at %s) was killed while in %s; retry: %s" % values


def _job_state(job: Mapping[str, object], phase: str) -> str:
    """The state of a port with a job; a rollback stops one server and starts another."""
    undo = job.get("undo")
    state = undo.get("state") if phase == "rollback" and isinstance(undo, dict) else None
    if state in ("stopping", "starting"):
        return str(state)
    return "stopping" if phase in STOP_PHASES else "starting"


def _describe_job(job: Mapping[str, object]) -> str:
    origin = "%s by %s since %s" % (
        job.get("why", "busy"),
        job.get("who", "?"),
        job.get("since", "?"),
    )
    return ": ".join(filter(None, [_step(job), origin]))


def _step(job: Mapping[str, object]) -> str:
    """The rollback step, or the progress of a download or of a start. Texts from a lock may be
    anything."""
    undo = job.get("undo")
    if isinstance(undo, dict):
        return "rolling back: %s" % undo.get("step")
    phase = job.get("phase")
    if phase not in ("download", "prepare", "wait") or not job.get("step"):
        return ""
    far = job.get("progress")
    done, total = (far.get("done"), far.get("total")) if isinstance(far, dict) else (None, None)
    if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total and total:
        step = "weights in memory" if phase == "wait" else job["step"]
        return "%s (%d %%)" % (step, 100 * done // total)
    return "" if phase == "wait" else str(job["step"])


def _state(evidence: PortEvidence, expected: Expected) -> Tuple[str, str]:
    server = evidence.server
    if server is not None and server.worker_gone:
        return (
            "dead-child",
            "its worker process died; pid %d still listens but cannot serve" % server.process.pid,
        )
    dead = evidence.other_hosts.dead
    if server is not None and dead:
        text = "%s is gone; pid %d on this host cannot answer without it"
        return "dead-child", text % (dead, server.process.pid)
    if evidence.answer.reached:
        return _answering(evidence, server)
    if evidence.listeners:
        return "unresponsive", _MUTE % TIMED_OUT
    if server is not None:
        return _no_listener(server, expected)
    if evidence.orphan_workers or evidence.recorded or evidence.other_hosts.alive:
        return "failed", "the server died; leftover processes: pid %s" % _pids(evidence)
    if evidence.foreign_processes:
        return (
            "starting",
            "pid %d of user %s was started for this port and does not listen yet"
            % evidence.foreign_processes[0][:2],
        )
    return ("failed", "its process has ended") if expected.entries else ("free", "")


def _answering(evidence: PortEvidence, server: Optional[Server]) -> Tuple[str, str]:
    early = server is not None and server.invocation.runtime.listens_early
    if early and evidence.answer.health == 503:
        return "failed", "the server answers 503: its model failed to load"
    if evidence.answer.refusal:
        return "ready", evidence.answer.refusal
    if evidence.answer.health is None:
        error = evidence.answer.error
        return "unresponsive", _MUTE % (TIMED_OUT if TIMED_OUT in error else error)
    if evidence.answer.health != 200:
        return "unresponsive", "/health returns status %d" % evidence.answer.health
    if evidence.answer.chats is False:
        return "starting", "it listens but does not answer chats yet" + _since(server)
    return "ready", ""


def _no_listener(server: Server, expected: Expected) -> Tuple[str, str]:
    """The state of a server without a listener: loading before its first answer, stopping after
    it."""
    was_ready = any("ready_at" in (e.process or {}) for e in expected.entries)
    if was_ready:
        return "stopping", "pid %d no longer listens" % server.process.pid
    text = "pid %d is running but does not listen yet" % server.process.pid
    return "starting", text + _since(server)


def _since(server: Optional[Server]) -> str:
    """When the server was started: one that starts for hours will not become ready."""
    started_at = server.process.started_at if server else None
    return "" if started_at is None else " (started at %s)" % utc(started_at)


def _pids(evidence: PortEvidence) -> str:
    here = (*evidence.orphan_workers, *([evidence.recorded] if evidence.recorded else []))
    return ", ".join([*(str(p.pid) for p in here), *evidence.other_hosts.alive])


def _drift(evidence: PortEvidence, expected: Expected) -> Tuple[Optional[str], str]:
    if len(expected.entries) > 1:
        return "duplicate", "assigned to " + " and ".join(e.name for e in expected.entries)
    if evidence.foreign_use:
        return "foreign", "; ".join(
            filter(None, [evidence.foreign_use, describe_wanting(expected)])
        )
    if not expected.entries:
        return _unassigned(evidence, expected)
    if evidence.proven_idle:
        return "stale", _gone_text(expected)
    entry = expected.entries[0]
    difference = mismatch(evidence, entry, expected.served_name)
    if difference:
        return "mismatch", difference
    if expected.switched and evidence.recorded:
        return "switched", SWITCHED
    if entry.name in expected.missing:
        return "missing", "its files are away: %s" % expected.missing[entry.name]
    if expected.rivals:
        return "duplicate", describe_wanting(expected)
    if evidence.server and evidence.listeners and evidence.recorded is None and entry.process:
        text = "pid %d serves it, but the registry names pid %s, which has ended"
        return "unrecorded", text % (evidence.server.process.pid, entry.process.get("pid"))
    return ("stray", describe_strays(evidence)) if evidence.strays else (None, "")


def unreported_strays(seen: PortEvidence, verdict: Diagnosis) -> str:
    """Strays that the diagnosis does not mention because it reports something worse; "" if there
    are none."""
    is_reported = (
        not seen.strays
        or seen.job is not None
        or verdict.drift == "stray"
        or verdict.state == "unknown"
    )
    return "" if is_reported else describe_strays(seen)


def describe_strays(seen: PortEvidence) -> str:
    """The processes that waste memory, as text."""
    processes = ["pid %d%s" % (s.process.pid, _size(s.held_bytes)) for s in seen.strays]
    return (
        "%s: started as a server for this port, but does not listen and is not in the registry"
        % ", ".join(processes)
    )


def _size(size_bytes: Optional[int]) -> str:
    return "" if size_bytes is None else ", which uses %.1f GiB" % (size_bytes / (1 << 30))


GONE = "its server is gone: nothing listens on the port, and none of its processes are left"


def _gone_text(expected: Expected) -> str:
    names = " and ".join(e.name for e in expected.lost)
    return GONE + ("; %s served here before it" % names if names else "")


def describe_wanting(expected: Expected) -> str:
    """The entries that want the port and are not served; "" if there are none."""
    if expected.rivals:
        return "wanted by %s; a load of one of them decides" % " and ".join(expected.rivals)
    if expected.loss:
        return expected.loss.reason
    names = [e.name for e in expected.lost]
    return "%s was served here and is no longer running" % names[0] if names else ""


def _unassigned(evidence: PortEvidence, expected: Expected) -> Tuple[Optional[str], str]:
    if evidence.strays and not evidence.proven:
        return "stray", describe_strays(evidence)
    if evidence.server:
        model = evidence.server.invocation.model or "its default model"
        return "orphan", "pid %d serves %s, but no entry is assigned" % (
            evidence.server.process.pid,
            model,
        )
    if evidence.orphan_workers:
        return "orphan", "leftover processes of a dead server: pid %s" % _pids(evidence)
    return missed_drift(expected) if evidence.proven_idle else (None, "")


def missed_drift(expected: Expected) -> Tuple[Optional[str], str]:
    """The drift of a port without a server and without an assigned entry."""
    if expected.rivals:
        return "duplicate", describe_wanting(expected)
    if expected.lost:
        kind = "held" if expected.supervision.held else "lost"
        return kind, "; ".join(
            filter(None, (describe_wanting(expected), expected.supervision.reason))
        )
    if expected.declared:
        return "empty", "the host file declares %s; nothing serves here" % expected.declared
    return None, ""


def mismatch(seen: PortEvidence, entry: Entry, served_name: Optional[str]) -> str:
    """How the running server differs from the entry; "" if no difference can be seen."""
    if seen.server is None:
        what = (
            "the recorded process is running but does not serve this port"
            if seen.recorded
            else "leftover processes of a dead server"
        )
        return "%s: pid %s" % (what, _pids(seen))
    call = seen.server.invocation
    elsewhere = seen.other_hosts.mismatch(entry)
    if elsewhere:
        return elsewhere
    if call.model not in (entry.cache_path, entry.repo_id, entry.model_id):
        return "it serves %s, but the entry says %s" % (
            call.model,
            entry.cache_path or entry.repo_id,
        )
    ours = seen.recorded is not None and (entry.process or {}).get("launched_by") != "adopted"
    return "; ".join([*_fields(call, entry), *_names(call, served_name), *_args(call, entry, ours)])


def _fields(call: Invocation, entry: Entry) -> Iterator[str]:
    runtime, entry_flags = call.runtime, flags_of(entry.args)
    for key in ("chat_template", "tool_call_parser", "reasoning_parser"):
        flag = getattr(runtime, key)
        inline = key == "chat_template" and runtime.template_inline
        # In `args` it comes last, and the last one counts.
        if (
            flag
            and not inline
            and flag not in entry_flags
            and not has_value(call.flags.get(flag) or None, entry.text(key))
        ):
            yield "it runs with %s %s, but the entry says %s" % (
                flag,
                call.flags.get(flag),
                entry.text(key),
            )


def _names(call: Invocation, served_name: Optional[str]) -> Iterator[str]:
    if call.served_name and served_name and call.served_name != served_name:
        yield "it answers to %s, but the slot's name is %s" % (call.served_name, served_name)


def _args(call: Invocation, entry: Entry, ours: bool) -> Iterator[str]:
    """Arguments in the entry's `args` that the server lacks or has with other values.

    `ours`: mlxops started it. Only then are additional arguments a difference, left by an edit of
    `args`: an adopted server has what its own start script gave it."""
    expected = flags_of(entry.args)
    for flag, value in expected.items():
        if call.flags.get(flag) != value:
            had = (
                "with " + shown_option(flag, call.flags[flag])
                if flag in call.flags
                else "without %s" % flag
            )
            yield "it runs %s, but the entry's args say %s" % (
                had,
                shown_option(flag, value),
            )
    for flag in extra_flags(call) if ours else ():
        if flag not in expected:
            yield "it runs with %s, which is not in the entry's args" % flag
