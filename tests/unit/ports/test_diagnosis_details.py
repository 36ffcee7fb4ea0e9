"""What a diagnosis says about broken servers and about running jobs."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.ports.diagnosis import diagnose
from mlxops.agent.ports.evidence import NO_ANSWER, Expected, HttpAnswer, PortEvidence
from tests.support.evidence import (
    FOREIGN,
    FREE,
    JOB,
    LIGHT_SERVING,
    LOST,
    NOTHING,
    OPENAI,
    SERVING,
    TRACKER,
    WANTED,
    serving,
)


@pytest.mark.parametrize(
    ("seen", "wanted", "broken"),
    [
        (SERVING._replace(answer=NO_ANSWER), WANTED, True),
        (serving(OPENAI, (TRACKER,)), WANTED, True),
        (serving(OPENAI + " --tool-call-parser x", (TRACKER,)), WANTED, True),
        (LIGHT_SERVING._replace(answer=HttpAnswer(True, 503)), WANTED, True),
        (NOTHING, WANTED, False),
        (FOREIGN._replace(answer=NO_ANSWER), FREE, False),
        (serving(OPENAI, (TRACKER,)), FREE, False),
        (SERVING, WANTED, False),
        (NOTHING, LOST, False),
    ],
)
def test_a_broken_server_is_a_trouble_that_no_other_drift_tells(
    seen: PortEvidence, wanted: Expected, broken: bool
):
    assert diagnose(seen, wanted).broken is broken


def test_both_the_drift_and_the_state_are_told():
    reason = diagnose(serving(OPENAI + " --tool-call-parser x", (TRACKER,)), WANTED).reason
    assert "worker process died" in reason and "--tool-call-parser" in reason


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (
            {"step": "downloading o/a", "progress": {"done": 41, "total": 100}},
            "downloading o/a (41 %): ",
        ),
        ({"step": "downloading o/a", "progress": None}, "downloading o/a: "),
        ({"step": "downloading o/a", "progress": {"done": "x", "total": []}}, "downloading o/a: "),
        ({"step": "downloading o/a", "progress": {"done": 1, "total": 0}}, "downloading o/a: "),
        ({"progress": [1]}, ""),
        (
            {"phase": "wait", "step": "waiting", "progress": {"done": 41, "total": 100}},
            "weights in memory (41 %): ",
        ),
        ({"phase": "wait", "step": "waiting"}, ""),
        (
            {"phase": "wait", "undo": {"step": "starting a again"}},
            "rolling back: starting a again: ",
        ),
    ],
)
def test_the_reason_of_a_job_says_how_far_it_is(job: dict[str, Any], told: str):
    seen = NOTHING._replace(job={**JOB, "phase": "download", **job})
    assert diagnose(seen, FREE).reason == told + "load a 8100 by alice since now"
