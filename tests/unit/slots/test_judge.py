"""What serves on a port against what should: the verdicts."""

from __future__ import annotations

import pytest

from mlxops.agent.errors import ModelGated, PortBusy
from mlxops.agent.ports.evidence import PortEvidence
from mlxops.agent.slots.plan import Check
from tests.support.slots import (
    JOB,
    entry,
    foreign,
    free,
    hangs,
    plan_for,
    row,
    server,
    serves,
    sizes,
    starting,
    verdicts,
)

A = entry("a", 8100, 8100)
UNASSIGNED = entry("a")
OTHER = entry("b", 8100, 8100)
TWO_STARTING = free(8100)._replace(servers=(server("a", 8100), server("a", 8100, 77)))
CASES: dict[str, tuple[tuple, PortEvidence, str]] = {
    "serves it": ((A,), serves("a", 8100), "same"),
    "still starting": (
        (entry("a", 8100, 8100, process={"pid": 9100}),),
        starting("a", 8100),
        "same",
    ),
    "no longer listens": ((A,), starting("a", 8100), "restart"),
    "another process serves it": ((A,), serves("a", 8100, recorded=False), "same"),
    "with a stray beside": (
        (A,),
        serves("a", 8100)._replace(
            servers=(server("a", 8100), server("a", 8100, 77)),
        ),
        "same",
    ),
    "hangs": ((A,), hangs("a", 8100), "restart"),
    "with other options": (
        (entry("a", 8100, 8100, args=["--x", "1"]),),
        serves("a", 8100),
        "restart",
    ),
    "two that do not listen": ((A,), TWO_STARTING, "restart"),
    "its leftovers": (
        (A,),
        free(8100)._replace(recorded=server("a", 8100).process),
        "restart",
    ),
    "gone": ((A,), free(8100), "load"),
    "never loaded": ((UNASSIGNED,), free(8100), "load"),
    "no entry": ((), free(8100), "download"),
    "serves another": ((UNASSIGNED, OTHER), serves("b", 8100), "swap"),
    "another is gone": ((UNASSIGNED, OTHER), free(8100), "load"),
    "another without an entry": ((UNASSIGNED,), serves("z", 8100, recorded=False), "swap"),
    "the same, not in the registry": (
        (UNASSIGNED,),
        serves("a", 8100, recorded=False),
        "blocked Unregistered",
    ),
    "the same, the registry is lost": (
        (),
        serves("a", 8100, recorded=False),
        "blocked Unregistered",
    ),
    "foreign": ((UNASSIGNED,), foreign(8100), "blocked ForeignListener"),
    "foreign beside it": ((A,), foreign(8100), "blocked ForeignListener"),
    "a job": ((A,), serves("a", 8100)._replace(job=JOB), "blocked Locked"),
    "unknown": (
        (A,),
        free(8100)._replace(listeners=None, unknown=("no lsof",)),
        "blocked EvidenceUnknown",
    ),
    "two entries on it": ((A, OTHER), serves("a", 8100), "blocked AssignmentConflict"),
}


@pytest.mark.parametrize(("entries", "seen", "verdict"), CASES.values(), ids=CASES.keys())
def test_a_declared_model(entries: tuple, seen: PortEvidence, verdict: str):
    assert verdicts(plan_for({8100: "a"}, entries, [seen])) == {8100: verdict}


def test_a_wanted_model_is_judged_like_a_declared_one():
    lost = entry("a", None, 8100)
    assert verdicts(plan_for({}, [lost])) == {8100: "load"}
    assert verdicts(plan_for({}, [A], [serves("a", 8100)])) == {8100: "same"}


def test_a_port_that_nobody_wants_is_left():
    for seen in (free(8100), serves("z", 8100, recorded=False), foreign(8100)):
        made = plan_for({}, [UNASSIGNED], [seen])
        assert row(made, 8100).verdict == "leave"
        assert made.changes == 0
        assert made.order == ()


def test_an_error_of_loads_checks_blocks_the_port():
    gated = ModelGated("org/a is gated", "log in")
    made = plan_for({8100: "a"}, [UNASSIGNED], (), sizes(p8100=Check(error=gated)))
    assert verdicts(made) == {8100: "blocked ModelGated"}
    assert (row(made, 8100).reason, row(made, 8100).hint) == ("org/a is gated", "log in")


def test_an_error_of_the_checks_never_touches_a_port_that_serves_right():
    made = plan_for(
        {8100: "a"}, [A], [serves("a", 8100)], sizes(p8100=Check(error=ModelGated("x")))
    )
    assert verdicts(made) == {8100: "same"}


def test_a_launchd_job_is_named_as_the_owner():
    busy = PortBusy("port 8100 is used by the launchd job x", "bootout", job="x", port=8100)
    made = plan_for({8100: "a"}, [UNASSIGNED], (), sizes(p8100=Check(error=busy)))
    assert verdicts(made) == {8100: "blocked LaunchdOwned"}


def test_what_must_be_downloaded_says_so():
    check = Check("a", 10 << 30, 5 * 10**9, 12.0)
    made = plan_for({8100: "a"}, [UNASSIGNED], (), sizes(p8100=check))
    only = row(made, 8100)
    assert (only.verdict, only.download_bytes, only.usual_start_s) == ("download", 5 * 10**9, 12.0)
    assert "5.0 GB to download" in only.reason


def test_a_model_larger_than_the_machine_is_blocked():
    made = plan_for({8100: "a"}, [UNASSIGNED], (), sizes(limit=100, needs={8100: 101}))
    assert verdicts(made) == {8100: "blocked TooBig"}


def test_a_model_that_is_lost_is_loaded_and_the_reason_says_what_happened():
    lost = row(plan_for({}, [entry("a", None, 8100)]), 8100)
    assert (lost.verdict, lost.state, lost.drift) == ("load", "free", "lost")
    assert lost.reason.startswith("wanted; a ")


def test_a_try_out_gives_way_to_what_is_wanted():
    trial = entry("b", 8100, process={"pid": 9100, "ready_at": "t", "keep": False})
    made = plan_for({}, [entry("a", None, 8100), trial], [serves("b", 8100)])
    assert verdicts(made) == {8100: "swap"}
    assert verdicts(plan_for({}, [trial], [serves("b", 8100)])) == {}
