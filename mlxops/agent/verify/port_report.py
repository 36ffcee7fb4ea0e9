"""Verify one port: what registry and host say of it, and how its server answers real requests."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from ..api_key import api_key
from ..context import Context
from ..errors import Failed, MlxopsError
from ..ports.answers import server_address
from ..ports.diagnosis import BROKEN_STATES, Diagnosis, diagnose
from ..ports.evidence import PortEvidence, Server
from ..ports.expected import expected, read_limit
from ..programs.environment import site_packages
from ..programs.find import find_command
from ..programs.marks import installed_marks
from ..registry.entries import Entry, Registry
from ..runtimes.table import Runtime
from .chat import Endpoint
from .checks import Check
from .speed import keep_speed
from .verification import UNFINISHED, Target, Verification, verify_server

# A reasoning model of 70 GB takes two minutes for all requests.
TIMEOUT_S = 300.0
MAX_TIMEOUT_S = 24 * 3600.0
STATE = "state"
Look = Callable[[int], PortEvidence]


class PortReport(NamedTuple):
    """`ok` None: the port could not be tested, or not completely."""

    verification: Verification

    @property
    def ok(self) -> Optional[bool]:
        if self.verification.failures:
            return False
        return (
            None
            if any(
                c.ok is None and c.check in (STATE, UNFINISHED) for c in self.verification.checks
            )
            else True
        )

    def to_wire(self) -> Dict[str, Any]:
        return {**self.verification.to_wire(), "ok": self.ok}


def timeout_of(args: Mapping[str, Any]) -> float:
    """The time limit for all requests to one port, in seconds."""
    seconds = args.get("timeout_s")
    return (
        min(float(seconds), MAX_TIMEOUT_S)
        if isinstance(seconds, (int, float)) and seconds > 0
        else TIMEOUT_S
    )


def verify_port(
    ctx: Context, registry: Registry, seen: PortEvidence, timeout_s: float, look: Look
) -> PortReport:
    """Send requests only to a ready server of this user. `look`: observe the port again at the
    end."""
    want = expected(ctx, registry, seen.port)
    verdict = diagnose(seen, want)
    entry = want.entries[0] if want.entries else None
    if verdict.state != "ready" or seen.server is None or seen.foreign_listeners:
        return PortReport(Verification(_unasked(verdict)))
    ctx.client.emit("phase", phase="verify", message=_story(seen, entry))
    proof = verify_server(_subject(ctx, seen, seen.server, entry), timeout_s)
    keep_speed(ctx.site.state_dir, seen.port, seen.server.process, proof.tokens_per_s)
    if want.switched and entry and proof.served_model:
        _forget_switch(ctx, entry, seen.server.invocation.runtime)
    later = _changed(seen, look(seen.port)) if proof.failures else ""
    if later:
        return PortReport(Verification((Check(STATE, None, later),)))
    return PortReport(proof._replace(checks=(_registry(verdict), *proof.checks)))


def _forget_switch(ctx: Context, entry: Entry, runtime: Runtime) -> None:
    """The requests by the right name have brought the entry's own model back."""

    def change(registry: Registry) -> Registry:
        now = registry.entries.get(entry.name)
        if now is None or now.process is None or now.process != entry.process:
            return registry
        limit = read_limit(ctx.procs, runtime, now.process, now.cache_path)
        return registry.put(now.with_fields(process={**now.process, **limit}))

    # Without a registry that can be written, the next look reports it again.
    with suppress(MlxopsError, OSError):
        ctx.store.edit("verify " + entry.name, change)


def _unasked(verdict: Diagnosis) -> Tuple[Check, ...]:
    """Of a port that is not asked: one that loads or stops has enough to do, a stranger may do
    anything at a chat."""
    detail = verdict.reason or "no server is running there"
    checks = (_registry(verdict),) if verdict.drift else ()
    # What a stranger's listener answers says nothing about a model server.
    if verdict.state == "ready" or verdict.drift == "foreign":
        return checks or (Check(STATE, None, detail),)
    return (
        *checks,
        Check(
            STATE,
            False if verdict.state in BROKEN_STATES else None,
            "%s: %s" % (verdict.state, detail),
        ),
    )


def _registry(verdict: Diagnosis) -> Check:
    # A stray does not affect the answers of the server; status reports it.
    """Whether registry and running server agree."""
    if verdict.drift in (None, "stray"):
        return Check("registry", True, "entry and command line agree")
    return Check("registry", False, "%s: %s" % (verdict.drift, verdict.reason))


def _story(evidence: PortEvidence, entry: Optional[Entry]) -> str:
    runtime = evidence.server.invocation.runtime.name if evidence.server else "?"
    return "testing port %d: %s on %s" % (
        evidence.port,
        entry.name if entry else "no entry",
        runtime,
    )


def _subject(
    ctx: Context, evidence: PortEvidence, server: Server, entry: Optional[Entry]
) -> Target:
    call = server.invocation
    runtime = call.runtime

    def parses(key: str) -> bool:
        return bool(call.flags.get(getattr(runtime, key) or "") or (entry and entry.text(key)))

    return Target(
        Endpoint(
            server_address(evidence, ctx.site.probe_address),
            evidence.port,
            ctx.client.check,
            key=api_key(ctx.site, evidence.port, runtime.name),
        ),
        runtime.client_model or call.served_name or call.model,
        checks_names=runtime.client_model is None and call.served_name is not None,
        tools=parses("tool_call_parser"),
        reasoning=parses("reasoning_parser"),
        marks=_marks(ctx, runtime),
    )


def _marks(ctx: Context, runtime: Runtime) -> Tuple[str, ...]:
    """The control tokens that the mlx-lm of the runtime knows; () without one."""
    try:
        command, _ = find_command(ctx.site, runtime)
    except Failed:
        return ()
    return installed_marks(site_packages(command))


def _changed(before: PortEvidence, now: PortEvidence) -> str:
    """What happened to the port meanwhile; "" for nothing: then the failures are real."""
    if now.job is not None:
        return "%s by %s started meanwhile" % (now.job.get("why", "work"), now.job.get("who", "?"))
    pids = [one.server.process.pid if one.server else None for one in (before, now)]
    return (
        ""
        if pids[0] == pids[1]
        else "the server was replaced meanwhile: pid %s, then pid %s" % (pids[0], pids[1])
    )
