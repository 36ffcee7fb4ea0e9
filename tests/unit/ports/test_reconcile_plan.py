"""The plan of reconcile: nothing is cleared without proof."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.ports import remedies
from mlxops.agent.ports.diagnosis import Diagnosis, diagnose
from mlxops.agent.ports.evidence import NO_ANSWER, Expected, HttpAnswer, Loss, PortEvidence
from mlxops.agent.ports.reconcile_plan import cleared_drift, plan_reconcile
from tests.support.evidence import (
    CUT,
    DECLARED,
    FOREIGN,
    FREE,
    JOB,
    LIGHT,
    LOADED,
    LOST,
    NOTHING,
    OPEN,
    OPENAI,
    RIVALS,
    SERVING,
    TRACKER,
    WANTED,
    WANTED_TWICE,
    WORKER,
    entry,
    listener,
    process,
    server,
)

NOT_QUIET: dict[str, dict[str, Any]] = {
    "a listener": {"listeners": (listener(66),)},
    "listeners unseen": {"listeners": None},
    "a server": {"servers": (server(),)},
    "the recorded process": {"recorded": process(10)},
    "remnants": {"orphan_workers": (process(11),)},
    "an answer": {"answer": HttpAnswer(True)},
    "a job": {"job": {}},
    "something unseen": {"unknown": ("lsof is missing",)},
}


@pytest.mark.parametrize("seen", NOT_QUIET.values(), ids=NOT_QUIET.keys())
def test_one_sign_of_life_or_doubt_is_enough_to_clear_nothing(seen: dict[str, Any]):
    assert NOTHING.proven_idle
    assert not NOTHING._replace(**seen).proven_idle
    assert plan_reconcile({8100: NOTHING._replace(**seen)}, {8100: WANTED}).actions == ()


evidence = st.builds(
    PortEvidence,
    port=st.just(8100),
    listeners=st.sampled_from([None, (), (), (listener(10),), (listener(66),), (listener(None),)]),
    servers=st.sampled_from(
        [(), (), (server(),), (server(LIGHT, ()),), (server(OPENAI, (TRACKER,)),)]
    ),
    recorded=st.sampled_from([None, None, process(10)]),
    orphan_workers=st.sampled_from([(), (), (process(11, WORKER),)]),
    answer=st.sampled_from(
        [NO_ANSWER, NO_ANSWER, OPEN, HttpAnswer(True, 503), HttpAnswer(True, None, error="x")]
    ),
    job=st.sampled_from([None, None, {}, {**JOB, "phase": "wait"}, {**JOB, "phase": "claim"}]),
    unknown=st.sampled_from([(), (), ("no lsof",)]),
    interrupted_load=st.sampled_from([None, None, CUT]),
)
wants = st.sampled_from(
    [
        FREE,
        WANTED,
        LOADED,
        Expected((entry("a"), entry("b")), "jerry"),
        Expected((entry(),), "x", {"a": "/x is away"}),
    ]
)


@given(evidence, wants)
def test_the_plan_clears_exactly_what_is_proven_gone(seen: PortEvidence, wanted: Expected):
    verdict, found = diagnose(seen, wanted), plan_reconcile({8100: seen}, {8100: wanted})
    assert isinstance(verdict, Diagnosis)
    assert [a.entry for a in found.actions] == [e.name for e in wanted.entries if seen.proven_idle]
    assert all(
        (a.action, a.port, a.applied) == ("clear", 8100, False) and a.reason for a in found.actions
    )
    assert not (found.actions and found.drift)
    assert seen.job is None or (verdict.drift, found.actions) == (None, ())


def test_every_drift_that_is_not_cleared_is_reported_in_order_of_the_ports():
    seen = {
        8102: FOREIGN,
        8101: NOTHING._replace(unknown=("no lsof",)),
        8100: NOTHING,
        8103: SERVING,
    }
    found = plan_reconcile(seen, {8100: WANTED, 8101: WANTED, 8102: FREE, 8103: WANTED}).to_wire()
    assert [(a["entry"], a["port"]) for a in found["actions"]] == [("a", 8100)]
    assert [(d["drift"], d["port"], d["entry"]) for d in found["drift"]] == [
        ("unknown", 8101, "a"),
        ("foreign", 8102, None),
    ]


def test_of_two_that_want_a_port_the_one_that_serves_is_proposed_else_the_first():
    for seen, want, name in ((SERVING, WANTED_TWICE, "a"), (NOTHING, RIVALS, "lost")):
        (row,) = plan_reconcile({8100: seen}, {8100: want}).drift
        assert (row.drift, row.entry) == ("duplicate", name)
        assert row.next == f"mlxops load {name} 8100"
        assert all(entry.name in row.reason for entry in want.wanting)
        advice = remedies.advice(row.next, row.drift, 8100, name)
        assert advice == f"mlxops load {name} 8100, or load the one you want there"


def test_what_is_declared_and_serves_nowhere_is_empty_unless_something_is_missed_or_unknown():
    (row,) = plan_reconcile({8100: NOTHING}, {8100: DECLARED}).drift
    assert (row.drift, row.entry, row.next) == ("empty", None, "mlxops apply 8100")
    advice = remedies.advice(row.next, row.drift, 8100, None)
    assert advice == "mlxops apply 8100, or delete its model from the host file"
    lost = plan_reconcile({8100: NOTHING}, {8100: LOST._replace(declared="org/a")}).drift
    assert [row.drift for row in lost] == ["lost"]
    for seen, drifts in (
        (NOTHING._replace(job={"phase": "claim"}), []),
        (NOTHING._replace(unknown=("no lsof",)), ["unknown"]),
        (SERVING, ["orphan"]),
        (FOREIGN, ["foreign"]),
    ):
        found = plan_reconcile({8100: seen}, {8100: DECLARED}).drift
        assert [row.drift for row in found] == drifts


def test_two_that_are_assigned_to_a_port_must_be_unloaded():
    want = Expected((entry("a"), entry("b")), "jerry")
    (row,) = plan_reconcile({8100: SERVING}, {8100: want}).drift
    assert (row.drift, row.next) == ("duplicate", "mlxops unload 8100")
    assert remedies.advice(row.next, row.drift, 8100, "a").endswith("the model you want there")


def test_what_is_missed_after_a_clearing_is_lost_or_has_a_rival():
    assert cleared_drift(8100, FREE) is None
    empty = cleared_drift(8100, DECLARED)
    assert empty and empty.drift == "empty"
    lost, rivals = cleared_drift(8100, LOST), cleared_drift(8100, RIVALS)
    assert lost and rivals and (lost.drift, rivals.drift) == ("lost", "duplicate")
    told = cleared_drift(8100, LOST._replace(loss=Loss("crash", None, "wanted; crashed")))
    assert told and told.reason == "wanted; crashed"


@pytest.mark.parametrize(
    ("repo_id", "step"),
    [("", "mlxops set a cache_path=PATH"), ("org/a", "mlxops load a 8100 --replace --download")],
)
def test_only_what_the_hub_has_can_be_downloaded_again(repo_id: str, step: str):
    gone = entry(repo_id=repo_id, process={"pid": 10, "ready_at": "t"})
    want = LOADED._replace(entries=(gone,), missing={"a": "/Volumes/T7 does not exist"})
    (row,) = plan_reconcile({8100: SERVING}, {8100: want}).drift
    assert (row.drift, row.next) == ("missing", step)
