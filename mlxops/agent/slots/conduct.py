"""Execute a plan: each step is a load or an unload by an agent of its own.

So each step is a job like any other: `jobs`, `follow` and `cancel` know it, and it ends by itself
if this process dies."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from functools import partial
from typing import Any, Callable, Deque, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set

from ..context import Context
from ..errors import (
    Failed,
    Interrupted,
    MlxopsError,
    NotEnoughMemory,
    mlxops_command,
    to_mlxops_error,
)
from ..memory.fit import format_gib
from ..ports.probe import call_all
from ..registry.entries import Entry
from ..wire.child_agent import NEVER, LocalAgent
from .plan import Plan
from .steps import MemoryLedger, Step, Times

# How often a cancel is looked for.
POLL_INTERVAL_S = 0.1


class Outcome(NamedTuple):
    """What became of a port's steps. `error` None: all succeeded."""

    changed: bool
    error: Optional[MlxopsError]
    seconds: float

    @property
    def record(self) -> Dict[str, Any]:
        """What a row of the result says about it."""
        return {
            "ok": self.error is None,
            "changed": self.changed,
            "error": self.error.to_wire() if self.error else None,
            "duration_s": round(self.seconds, 3),
        }

    @property
    def left_empty(self) -> bool:
        """Whether a port that was emptied first did not get its model."""
        return self.changed and self.error is not None

    def ending(self, text: str) -> Outcome:
        """The outcome, with what is on the port in the end."""
        if self.error is not None:
            self.error.message += "; " + text
            self.error.fields["rollback"] = text
        return self

    def then(self, later: Outcome) -> Outcome:
        """Both together: the first error counts."""
        return Outcome(
            changed=self.changed or later.changed,
            error=self.error or later.error,
            seconds=self.seconds + later.seconds,
        )


NOTHING_DONE = Outcome(changed=False, error=None, seconds=0.0)


class EndedStep(NamedTuple):
    step: Step
    outcome: Outcome


class Conductor:
    """Begins the steps strictly in order, each as soon as those it depends on have succeeded, there
    is room for it, and fewer than `jobs` run."""

    def __init__(self, ctx: Context, ledger: MemoryLedger, jobs: int) -> None:
        self._ctx = ctx
        self._ledger = ledger
        self._jobs = jobs
        self._running: Set[int] = set()
        self._ended: queue.Queue[EndedStep] = queue.Queue()
        self._agents: List[LocalAgent] = []
        self._cancelled = threading.Event()
        self._outcomes: Dict[int, Outcome] = {}

    def run(self, steps: Iterable[Step]) -> Dict[int, Outcome]:
        """port -> outcome, once all steps have ended or cannot begin. After a cancel no step
        begins, and those that run roll back."""
        waiting = deque(steps)
        while waiting or self._running:
            if self._ctx.client.cancelled and not self._cancelled.is_set():
                self._cancel(waiting)
            while waiting and self._begins_or_fails(waiting[0]):
                waiting.popleft()
            if self._running:
                self._collect()
        return self._outcomes

    def _begins_or_fails(self, step: Step) -> bool:
        """Begin the step, or note why it never can; False if it has to wait."""
        failed = [port for port in step.after if self._has_failed(port)]
        if failed or self._has_failed(step.port):
            self._note(step, Outcome(False, _dependency_error(step, failed), 0.0))
            return True
        if self._running.intersection((*step.after, step.port)) or len(self._running) >= self._jobs:
            return False
        if not self._ledger.fits(step):
            if self._running:
                return False
            failed = [port for port in sorted(self._outcomes) if self._has_failed(port)]
            if failed:
                self._note(step, Outcome(False, _memory_error(step, failed, self._ledger), 0.0))
                return True
            # The estimate of the plan does not hold exactly; the step checks for itself.
        self._begin(step)
        return True

    def _has_failed(self, port: int) -> bool:
        return port in self._outcomes and self._outcomes[port].error is not None

    def _begin(self, step: Step) -> None:
        self._running.add(step.port)
        self._ledger.begin(step)
        try:
            threading.Thread(target=self._perform, args=(step,), daemon=True).start()
        except RuntimeError as exc:
            self._ended.put(EndedStep(step, Outcome(False, to_mlxops_error(exc), 0.0)))

    def _perform(self, step: Step) -> None:
        self._ended.put(EndedStep(step, outcome_of(self._ctx, step, self._register)))

    def _register(self, agent: LocalAgent) -> None:
        """Cancel the agent now, if a cancel came before it had started."""
        self._agents.append(agent)
        if self._cancelled.is_set():
            agent.cancel()

    def _collect(self) -> None:
        """Take in the outcome of a step that has ended."""
        with contextlib.suppress(queue.Empty):
            step, outcome = self._ended.get(timeout=POLL_INTERVAL_S)
            self._running.discard(step.port)
            self._ledger.end(step, outcome.error is None)
            self._note(step, outcome)
            text, ok = _ending(step, outcome), outcome.error is None
            cancelled = isinstance(outcome.error, Interrupted)
            self._ctx.client.emit("end", port=step.port, ok=ok, cancelled=cancelled, message=text)

    def _note(self, step: Step, outcome: Outcome) -> None:
        self._outcomes[step.port] = self._outcomes.get(step.port, NOTHING_DONE).then(outcome)

    def _cancel(self, waiting: Deque[Step]) -> None:
        self._cancelled.set()
        for agent in list(self._agents):
            agent.cancel()
        while waiting:
            step = waiting.popleft()
            self._note(
                step, Outcome(False, Interrupted("not begun", _again(step), begun=False), 0.0)
            )


def outcome_of(ctx: Context, step: Step, started: Callable[[LocalAgent], None]) -> Outcome:
    """Have an agent perform the step. `started` gets the agent; its events are passed on with the
    port."""
    began = time.monotonic()
    try:
        changed, error = _result(ctx, step, started)["changed"] is True, None
    except Exception as exc:  # fails this step only
        changed, error = False, to_mlxops_error(exc)
    return Outcome(changed, error, time.monotonic() - began)


def _result(ctx: Context, step: Step, started: Callable[[LocalAgent], None]) -> Mapping[str, Any]:
    who = {"user": ctx.who["who"], "from": ctx.who["from"]}
    request = {"verb": step.verb, "args": dict(step.args), "site": dict(ctx.site.raw), "who": who}
    with LocalAgent(request) as agent:
        agent.handshake(NEVER)
        started(agent)
        while True:
            record = agent.record(NEVER)
            if "result" in record:
                result: Mapping[str, Any] = record["result"]
                return result
            ctx.client.send({**record, "port": step.port})


def _ending(step: Step, outcome: Outcome) -> str:
    """How a step ended, for the client's progress."""
    if outcome.error is not None:
        return outcome.error.message
    return "%s after %.1f s" % (
        "unloaded" if step.verb == "unload" else "ready",
        outcome.seconds,
    )


def _again(step: Step) -> str:
    return mlxops_command("apply", step.port)


def _dependency_error(step: Step, failed: List[int]) -> Failed:
    ports = " and ".join(map(str, failed))
    return Failed(
        "not begun: it waited for port %s, which failed" % ports,
        _again(step),
        waited_for=failed,
        begun=False,
    )


def _memory_error(step: Step, failed: List[int], ledger: MemoryLedger) -> NotEnoughMemory:
    held = ", ".join(
        "port %d, which failed, uses %s" % (port, format_gib(ledger.used.get(port, 0)))
        for port in failed
    )
    text = "not begun: it needs %s of memory, but %s" % (format_gib(step.need_bytes or 0), held)
    return NotEnoughMemory(
        text, _again(step), waited_for=failed, need_bytes=step.need_bytes, begun=False
    )


def restore_emptied(
    ctx: Context, plan: Plan, outcomes: Mapping[int, Outcome], times: Times
) -> Dict[int, Outcome]:
    """The outcomes, with the end of every swap that failed after its port had been emptied."""
    failed = [
        row
        for row in plan.rows
        if row.unload_first and outcomes.get(row.port, NOTHING_DONE).left_empty
    ]
    calls = {row.port: partial(_restore, ctx, row.port, row.live, times) for row in failed}
    ends = call_all(calls)
    return {
        port: outcome.ending(ends[port]) if port in ends else outcome
        for port, outcome in outcomes.items()
    }


def _restore(ctx: Context, port: int, name: Optional[str], times: Times) -> str:
    """What became of the port's previous model, in words."""
    entry = _entry(ctx, name)
    if entry is None:
        return "nothing that could be restarted served there"
    if entry.port is not None:
        return "%s, which served there before, is on port %d now" % (entry.name, entry.port)
    ctx.client.emit("phase", phase="rollback", message="restarting %s" % entry.name, port=port)
    args = {"model": entry.name, "port": port, "by_plan": True, "keep": entry.wanted == port}
    step = Step(port=port, verb="load", args={**args, **times._asdict()}, after=(), need_bytes=None)
    error = outcome_of(ctx, step, lambda agent: None).error
    if error is None:
        return "%s serves again" % entry.name
    return "%s could not be restarted: %s" % (entry.name, error.message)


def _entry(ctx: Context, name: Optional[str]) -> Optional[Entry]:
    try:
        return ctx.store.read().entries.get(name or "")
    except MlxopsError:
        return None
