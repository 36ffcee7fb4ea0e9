"""When a step begins, and what a failure or a cancel does to the others. The agents that perform
the steps are stand-ins here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from mlxops.agent.background import BackgroundCall
from mlxops.agent.errors import Interrupted, NotEnoughMemory, NotReady
from mlxops.agent.slots import conduct
from mlxops.agent.slots.conduct import Conductor, Outcome
from mlxops.agent.slots.steps import MemoryLedger, Step
from tests.support.studio import eventually

GONE = 20.0


class Stage:
    """Steps that begin as the conductor says, and end as the test says."""

    def __init__(self, limit: int | None = None, used: dict[int, int] | None = None) -> None:
        self.client = SimpleNamespace(cancelled=False, emit=self.emit)
        self.ended: list[tuple[int, bool]] = []
        self.begun: list[tuple[str, int]] = []
        self.cancels: list[int] = []
        self._ends: dict[tuple[str, int], threading.Event] = {}
        self._errors: dict[int, Any] = {}
        self._ledger = MemoryLedger(limit, used or {})
        self._running: set[int] = set()
        self.beside: dict[int, set[int]] = {}

    def perform(self, ctx: Any, step: Step, started: Callable[[Any], None]) -> Outcome:
        ended = self._ends[(step.verb, step.port)] = threading.Event()
        started(SimpleNamespace(cancel=lambda: self.cancels.append(step.port)))
        self.beside[step.port] = set(self._running)
        self._running.add(step.port)
        self.begun.append((step.verb, step.port))
        assert ended.wait(GONE)
        self._running.discard(step.port)
        error = self._errors.pop(step.port, None)
        return Outcome(error is None, error, 1.0)

    def emit(self, name: str, **fields: Any) -> None:
        assert name == "end"
        self.ended.append((fields["port"], fields["ok"]))

    def conduct(self, *steps: Step, jobs: int = 2) -> None:
        ctx: Any = SimpleNamespace(client=self.client)
        conductor = Conductor(ctx, self._ledger, jobs)
        self.run = BackgroundCall(partial(conductor.run, list(steps)))

    def ends(self, port: int, error: Any = None, verb: str = "load") -> None:
        eventually(lambda: (verb, port) in self.begun, within_s=10)
        if error is not None:
            self._errors[port] = error
        self._ends[(verb, port)].set()

    def outcomes(self) -> dict[int, Outcome]:
        assert self.run.done(GONE)
        return self.run.value()


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(**more: Any) -> Stage:
        stages.append(Stage(**more))
        monkeypatch.setattr(conduct, "outcome_of", stages[-1].perform)
        return stages[-1]

    yield make
    for stage in stages:
        for end in stage._ends.values():
            end.set()


def load(port: int, *after: int, need: int = 0) -> Step:
    return Step(port=port, verb="load", args={}, after=after, need_bytes=need)


def unload(port: int) -> Step:
    return Step(port=port, verb="unload", args={}, after=(), need_bytes=0)


def loads(*ports: int) -> list[tuple[str, int]]:
    return [("load", port) for port in ports]


def test_at_most_so_many_at_a_time_and_in_order(staged: Callable[..., Stage]) -> None:
    stage = staged()
    stage.conduct(load(1), load(2), load(3), load(4))
    eventually(lambda: len(stage.begun) >= 2)
    assert sorted(stage.begun) == loads(1, 2)
    stage.ends(2)
    eventually(lambda: len(stage.begun) >= 3)
    assert stage.begun[2:] == loads(3)
    for port in (1, 3, 4):
        stage.ends(port)
    assert [outcome.error for outcome in stage.outcomes().values()] == [None] * 4


def test_a_step_waits_for_those_it_comes_after(staged: Callable[..., Stage]) -> None:
    stage = staged()
    stage.conduct(load(1), load(2, 1), load(3))
    stage.ends(1)
    eventually(lambda: len(stage.begun) >= 3)
    # 3 depends on nothing, but is later in the plan.
    assert 1 not in stage.beside[2] | stage.beside[3]
    stage.ends(2)
    stage.ends(3)
    assert len(stage.outcomes()) == 3


def test_a_failure_stops_only_what_depends_on_it(staged: Callable[..., Stage]) -> None:
    stage = staged()
    stage.conduct(load(1), load(2, 1), load(3, 2), load(4))
    stage.ends(1, NotReady("died"))
    stage.ends(4)
    outcomes = stage.outcomes()
    assert sorted(stage.begun) == loads(1, 4)
    assert sorted(stage.ended) == [(1, False), (4, True)]
    assert outcomes[4].error is None
    for port, cause in ((2, 1), (3, 2)):
        error = outcomes[port].error
        assert error is not None and error.fields["waited_for"] == [cause]
        assert f"port {cause}" in error.message and not outcomes[port].changed


def test_a_port_that_is_emptied_first_has_two_steps(staged: Callable[..., Stage]) -> None:
    """A cycle: 2 gets the model of 1, and 1 then that of 2."""
    stage = staged()
    stage.conduct(unload(1), load(2, 1), load(1, 2))
    stage.ends(1, verb="unload")
    stage.ends(2, NotReady("died"))
    outcomes = stage.outcomes()
    assert stage.begun == [("unload", 1), ("load", 2)]
    assert outcomes[1].changed and outcomes[1].left_empty and not outcomes[2].left_empty


def test_memory_is_counted_as_the_most_a_step_may_use(staged: Callable[..., Stage]) -> None:
    stage = staged(limit=100, used={1: 40, 2: 20})
    stage.conduct(load(1, need=10), load(2, need=70))
    eventually(lambda: stage.begun)
    assert stage.begun == loads(1)
    stage.ends(1)
    stage.ends(2)
    assert stage.begun == loads(1, 2)
    assert all(outcome.error is None for outcome in stage.outcomes().values())


def test_what_a_failed_step_did_not_free_is_missing(staged: Callable[..., Stage]) -> None:
    stage = staged(limit=100, used={1: 60})
    stage.conduct(load(1, need=10), load(2, need=70), load(3, need=20))
    stage.ends(1, NotReady("died"))
    stage.ends(3)
    outcomes = stage.outcomes()
    assert isinstance(outcomes[2].error, NotEnoughMemory)
    assert outcomes[2].error.fields["waited_for"] == [1]
    assert stage.begun == loads(1, 3)


def test_after_a_cancel_nothing_begins(staged: Callable[..., Stage]) -> None:
    stage = staged()
    stage.conduct(load(1), load(2), load(3), load(4))
    eventually(lambda: len(stage.begun) >= 2)
    stage.client.cancelled = True
    eventually(lambda: sorted(stage.cancels) == [1, 2], within_s=10)
    stage.ends(1, Interrupted("cancelled"))
    stage.ends(2)
    outcomes = stage.outcomes()
    assert sorted(stage.begun) == loads(1, 2) and outcomes[2].error is None
    for port in (3, 4):
        error = outcomes[port].error
        assert isinstance(error, Interrupted) and error.message == "not begun"


def test_without_a_thread_the_step_fails_and_the_rest_is_tried(
    staged: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = staged()

    def begin(*_: Any, **__: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(conduct.threading, "Thread", begin)
    ctx: Any = SimpleNamespace(client=stage.client)
    outcomes = Conductor(ctx, MemoryLedger(None, {}), 2).run([load(1), load(2)])
    assert [outcome.error is None for outcome in outcomes.values()] == [False, False]
