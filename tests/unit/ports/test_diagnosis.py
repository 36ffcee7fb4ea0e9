"""The table of evidence -> state and drift."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.ports.diagnosis import diagnose, mismatch
from mlxops.agent.ports.evidence import NO_ANSWER, Expected, HttpAnswer, PortEvidence
from mlxops.agent.ports.reconcile_plan import plan_reconcile
from tests.support.evidence import (
    ADOPTED,
    FOREIGN,
    FREE,
    FROM_HOST_FILE,
    JOB,
    LIGHT,
    LIGHT_SERVING,
    LOADED,
    LOST,
    NOTHING,
    OPEN,
    OPENAI,
    OURS,
    PATH,
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
    serving,
    wanting,
)

TABLE: dict[str, tuple[PortEvidence, Expected, str, str | None]] = {
    "nothing, nothing wanted": (NOTHING, FREE, "free", None),
    "serves what is wanted": (SERVING, WANTED, "ready", None),
    "serves what is wanted, light": (LIGHT_SERVING, WANTED, "ready", None),
    "one of its children listens": (
        SERVING._replace(listeners=(listener(11),)),
        WANTED,
        "ready",
        None,
    ),
    "its listener's owner cannot be seen": (
        SERVING._replace(listeners=(listener(None, 501),)),
        WANTED,
        "ready",
        None,
    ),
    "another user's listener where it should be": (
        SERVING._replace(listeners=(listener(None, 66),)),
        WANTED,
        "ready",
        "foreign",
    ),
    "a listener of nobody knows whom where it should be": (
        SERVING._replace(listeners=(listener(None),)),
        WANTED,
        "ready",
        "foreign",
    ),
    "gone": (NOTHING, WANTED, "failed", "stale"),
    "gone and cleared": (NOTHING, LOST, "free", "lost"),
    "gone, worked on": (NOTHING._replace(job={**JOB, "phase": "claim"}), LOST, "free", None),
    "gone, an orphan in its place": (SERVING, LOST, "ready", "orphan"),
    "gone, a stranger in its place": (FOREIGN, LOST, "ready", "foreign"),
    "gone, as far as can be seen": (
        NOTHING._replace(listeners=None, unknown=("no lsof",)),
        LOST,
        "unknown",
        None,
    ),
    "another assigned to the port of a lost one": (
        SERVING,
        WANTED._replace(lost=LOST.lost),
        "ready",
        None,
    ),
    "two want it": (NOTHING, RIVALS, "free", "duplicate"),
    "two want it, and one serves": (SERVING, WANTED_TWICE, "ready", "duplicate"),
    "two want it, and something else serves": (SERVING, RIVALS, "ready", "orphan"),
    "two want it, a stranger is there": (FOREIGN, RIVALS, "ready", "foreign"),
    "two want it, and the one that served is gone": (NOTHING, WANTED_TWICE, "failed", "stale"),
    "two want it, and the wrong one serves": (
        serving(LIGHT.replace(PATH, "/other")),
        WANTED_TWICE,
        "ready",
        "mismatch",
    ),
    "nobody wants it": (SERVING, FREE, "ready", "orphan"),
    "nobody wants it, still loading": (
        NOTHING._replace(servers=(server(),)),
        FREE,
        "starting",
        "orphan",
    ),
    "only its workers are left": (
        NOTHING._replace(orphan_workers=(process(11, WORKER),)),
        FREE,
        "failed",
        "orphan",
    ),
    "only its workers are left, wanted": (
        NOTHING._replace(orphan_workers=(process(11, WORKER),)),
        WANTED,
        "failed",
        "mismatch",
    ),
    "somebody else serves": (FOREIGN, FREE, "ready", "foreign"),
    "somebody else on our port": (FOREIGN, WANTED, "ready", "foreign"),
    "somebody we cannot see": (
        FOREIGN._replace(listeners=(listener(None),)),
        FREE,
        "ready",
        "foreign",
    ),
    "somebody else who answers nobody": (
        FOREIGN._replace(answer=NO_ANSWER),
        FREE,
        "unresponsive",
        "foreign",
    ),
    "somebody else beside ours": (
        SERVING._replace(listeners=(listener(10), listener(66))),
        WANTED,
        "ready",
        "foreign",
    ),
    "two entries": (SERVING, Expected((entry("a"), entry("b")), "jerry"), "ready", "duplicate"),
    "two entries, nothing there": (
        NOTHING,
        Expected((entry("a"), entry("b")), "jerry"),
        "failed",
        "duplicate",
    ),
    "the snapshot is gone": (
        SERVING,
        Expected((entry(),), "jerry", {"a": "/x is away"}),
        "ready",
        "missing",
    ),
    "another model": (
        SERVING,
        wanting(cache_path="/other", repo_id="org/b", model_id="m"),
        "ready",
        "mismatch",
    ),
    "the same model by its repository": (
        serving(OPENAI.replace(PATH, "org/a")),
        WANTED,
        "ready",
        None,
    ),
    "template wanted, none given": (SERVING, wanting(chat_template="/t"), "ready", "mismatch"),
    "template given, none wanted": (
        serving(OPENAI + " --chat-template-file /t"),
        WANTED,
        "ready",
        "mismatch",
    ),
    "another parser": (
        serving(OPENAI + " --tool-call-parser hermes"),
        wanting(tool_call_parser="qwen3"),
        "ready",
        "mismatch",
    ),
    "another reasoning parser": (SERVING, wanting(reasoning_parser="qwen3"), "ready", "mismatch"),
    "the right parser": (
        serving(OPENAI + " --tool-call-parser=qwen3"),
        wanting(tool_call_parser="qwen3"),
        "ready",
        None,
    ),
    "a parser the runtime has no option for": (
        LIGHT_SERVING,
        wanting(tool_call_parser="qwen3"),
        "ready",
        None,
    ),
    "args it was started with": (
        serving(OPENAI + " --queue-size 7 --debug"),
        wanting(args=["--queue-size", "7", "--debug"]),
        "ready",
        None,
    ),
    "args it was started without": (SERVING, wanting(args=["--debug"]), "ready", "mismatch"),
    "other args than it was started with": (
        serving(OPENAI + " --queue-size 7"),
        wanting(args=["--queue-size=9"]),
        "ready",
        "mismatch",
    ),
    "a parser among its args": (
        serving(OPENAI + " --tool-call-parser hermes"),
        wanting(args=["--tool-call-parser", "hermes"]),
        "ready",
        None,
    ),
    "more than its args, adopted": (
        serving(OPENAI + " --debug")._replace(recorded=process(10)),
        wanting(process=ADOPTED),
        "ready",
        None,
    ),
    "more than its args, started by whom nobody knows": (
        serving(OPENAI + " --debug"),
        WANTED,
        "ready",
        None,
    ),
    "more than its args, started by us": (
        serving(OPENAI + " --debug")._replace(recorded=process(10)),
        wanting(process=OURS),
        "ready",
        "mismatch",
    ),
    "what the host file's command has, and what we always give": (
        serving(FROM_HOST_FILE)._replace(recorded=process(10)),
        wanting(process=OURS),
        "ready",
        None,
    ),
    "a template that travels as text": (LIGHT_SERVING, wanting(chat_template="/t"), "ready", None),
    "another name": (SERVING, Expected((entry(),), "jerry-xl"), "ready", "mismatch"),
    "a name nobody asked for": (SERVING, Expected((entry(),), None), "ready", None),
    "loads": (NOTHING._replace(servers=(server(),)), WANTED, "starting", None),
    "drains": (NOTHING._replace(servers=(server(),)), LOADED, "stopping", None),
    "listens and loads": (
        LIGHT_SERVING._replace(answer=OPEN._replace(chats=False)),
        WANTED,
        "starting",
        None,
    ),
    "listens, has chatted": (
        LIGHT_SERVING._replace(answer=OPEN._replace(chats=True)),
        WANTED,
        "ready",
        None,
    ),
    "says its model did not load": (
        LIGHT_SERVING._replace(answer=HttpAnswer(True, 503)),
        WANTED,
        "failed",
        None,
    ),
    "503 of one that loads first": (
        SERVING._replace(answer=HttpAnswer(True, 503)),
        WANTED,
        "unresponsive",
        None,
    ),
    "an error page": (SERVING._replace(answer=HttpAnswer(True, 500)), WANTED, "unresponsive", None),
    "accepts, says nothing": (
        SERVING._replace(answer=HttpAnswer(True, error="timed out")),
        WANTED,
        "unresponsive",
        None,
    ),
    "listens, accepts nothing": (SERVING._replace(answer=NO_ANSWER), WANTED, "unresponsive", None),
    "its worker is dead": (serving(OPENAI, (TRACKER,)), WANTED, "dead-child", None),
    "its worker is dead, nobody wants it": (
        serving(OPENAI, (TRACKER,)),
        FREE,
        "dead-child",
        "orphan",
    ),
    "an older version in one process": (serving(OPENAI, ()), WANTED, "ready", None),
    "the recorded process serves no port": (
        NOTHING._replace(recorded=process(10)),
        WANTED,
        "failed",
        "mismatch",
    ),
    "unseen": (NOTHING._replace(listeners=None, unknown=("no lsof",)), WANTED, "unknown", None),
    "unseen, with a server": (SERVING._replace(unknown=("no ps",)), WANTED, "unknown", None),
    "claimed, the occupant serves on": (
        SERVING._replace(job={**JOB, "phase": "claim"}),
        FREE,
        "ready",
        None,
    ),
    "downloading for it": (NOTHING._replace(job={**JOB, "phase": "download"}), FREE, "free", None),
    "being stopped": (SERVING._replace(job={**JOB, "phase": "stop"}), WANTED, "stopping", None),
    "undone, the new one is stopped": (
        SERVING._replace(job={**JOB, "phase": "rollback", "undo": {"state": "stopping"}}),
        WANTED,
        "stopping",
        None,
    ),
    "undone, as a lock says that somebody made up": (
        SERVING._replace(job={**JOB, "phase": "rollback", "undo": ["x"]}),
        WANTED,
        "starting",
        None,
    ),
    **{
        f"in phase {phase}": (
            NOTHING._replace(job={**JOB, "phase": phase}, unknown=("x",)),
            WANTED,
            "starting",
            None,
        )
        for phase in ("launch", "wait", "commit", "rollback")
    },
}


@pytest.mark.parametrize(("seen", "wanted", "state", "drift"), TABLE.values(), ids=TABLE.keys())
def test_evidence_gives_state_and_drift(
    seen: PortEvidence, wanted: Expected, state: str, drift: str | None
):
    verdict = diagnose(seen, wanted)
    assert (verdict.state, verdict.drift) == (state, drift)
    assert verdict.reason or (state, drift) in (("ready", None), ("free", None))


def test_the_table_covers_every_word_of_the_design():
    states = {
        "free",
        "starting",
        "ready",
        "stopping",
        "failed",
        "unresponsive",
        "dead-child",
        "unknown",
    }
    assert {state for *_, state, _ in TABLE.values()} == states
    drifts = {"stale", "lost", "orphan", "foreign", "mismatch", "duplicate", "missing", None}
    assert {drift for *_, drift in TABLE.values()} == drifts


def test_a_port_that_is_worked_on_says_who_why_and_since_when():
    assert (
        diagnose(SERVING._replace(job={**JOB, "phase": "stop"}), WANTED).reason
        == "load a 8100 by alice since now"
    )


@pytest.mark.parametrize("holder", [{}, {"phase": None}, {"phase": ["stop"]}, {"why": 7}])
def test_a_lock_that_says_nothing_useful_still_keeps_hands_off(holder: dict[str, Any]):
    assert diagnose(NOTHING._replace(job=holder), WANTED).drift is None
    assert plan_reconcile({8100: NOTHING._replace(job=holder)}, {8100: WANTED}).actions == ()


def test_a_mismatch_says_in_what():
    assert mismatch(SERVING, entry(tool_call_parser="qwen3"), "jerry") == (
        "it runs with --tool-call-parser None, but the entry says qwen3"
    )
    assert mismatch(SERVING, entry(), "xl") == "it answers to jerry, but the slot's name is xl"
    both = mismatch(
        serving(OPENAI + " --debug"),
        entry(args=["--queue-size", "7"], tool_call_parser="qwen3"),
        "jerry",
    )
    assert both == (
        "it runs with --tool-call-parser None, but the entry says qwen3; "
        "it runs without --queue-size, but the entry's args say --queue-size 7"
    )


def test_the_server_of_a_port_is_the_one_that_listens():
    ranks = (server(LIGHT, (), pid=20), server(LIGHT, (), pid=30))
    assert NOTHING._replace(servers=ranks, listeners=(listener(30),)).server is ranks[1]
    assert NOTHING._replace(servers=ranks).server is ranks[0]
    assert NOTHING._replace(listeners=(listener(30),)).server is None
