"""A server that is starting: since when."""

from __future__ import annotations

import pytest

from mlxops.agent.ports.diagnosis import diagnose
from mlxops.agent.ports.evidence import NO_ANSWER, HttpAnswer, PortEvidence
from tests.support.evidence import LIGHT_SERVING, SERVING, WANTED

LOADING = SERVING._replace(listeners=(), answer=NO_ANSWER)
LISTENING = LIGHT_SERVING._replace(answer=HttpAnswer(True, 200, chats=False))


def started(evidence: PortEvidence, at: float | None) -> PortEvidence:
    (server,) = evidence.servers
    process = server.process._replace(started_at=at)
    return evidence._replace(servers=(server._replace(process=process),))


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (LOADING, "pid 10 is running but does not listen yet"),
        (LISTENING, "it listens but does not answer chats yet"),
    ],
)
def test_the_reason_says_since_when(evidence: PortEvidence, text: str) -> None:
    verdict = diagnose(started(evidence, 1.8e9), WANTED)
    assert (verdict.state, verdict.reason) == (
        "starting",
        f"{text} (started at 2027-01-15T08:00:00Z)",
    )
    assert diagnose(started(evidence, None), WANTED).reason == text
