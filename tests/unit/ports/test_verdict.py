"""The table of evidence -> state and drift, and the plan that follows: nothing is cleared without
proof."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.ports.diagnosis import Diagnosis, Expected, diagnose, mismatch
from mlxops.agent.ports.evidence import NO_ANSWER, HttpAnswer, PortEvidence, Server
from mlxops.agent.ports.plan import plan
from mlxops.agent.procs.facts import Listener, Process
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES, recognise

PATH = "/hub/models--org--a/snapshots/1"
FIELDS = {**REQUIRED, "repo_id": "org/a", "model_id": "org/a", "cache_path": PATH, "port": 8100}
WORKER = "python -c from multiprocessing.spawn import spawn_main"
TRACKER = "python -c from multiprocessing.resource_tracker import main"
OPENAI = f"mlx-openai-server launch --model-path {PATH} --port 8100 --served-model-name jerry"
FROM_HOST_FILE = (
    OPENAI.replace("launch ", "launch --queue-size 9 ") + " --model-type lm --host x --no-log-file"
)
OURS = {"pid": 10, "launched_by": "alice@mini"}
ADOPTED = {"pid": 10, "launched_by": "adopted"}
LIGHT = f"mlx_lm.server --model {PATH} --port 8100"
OPEN = HttpAnswer(True, 200, ("jerry",))
CUT = {
    "who": "alice",
    "from": "mini",
    "why": "load a 8100",
    "since": "now",
    "phase": "launch",
    "entries": ["a"],
    "again": "mlxops load a 8100",
}
JOB = {"who": "alice", "why": "load a 8100", "since": "now"}


def process(pid: int, line: str = "x") -> Process:
    return Process(pid, 1, pid, 501, f"t{pid}", None, None, tuple(line.split()), False)


def server(
    line: str = OPENAI, family: tuple[str, ...] = (WORKER, TRACKER), pid: int = 10
) -> Server:
    own = process(pid, line)
    call = recognise(own.argv, RUNTIMES)
    assert call is not None
    return Server(
        own, call, (own, *(process(pid + 1 + n, text) for n, text in enumerate(family))), own
    )


def listener(pid: int | None, uid: int | None = None) -> Listener:
    return Listener(8100, "0.0.0.0", pid, uid)


NOTHING = PortEvidence(8100, (), (), None, (), NO_ANSWER, None, ())
SERVING = NOTHING._replace(listeners=(listener(10),), servers=(server(),), answer=OPEN)
LIGHT_SERVING = SERVING._replace(servers=(server(LIGHT, ()),))
FOREIGN = NOTHING._replace(listeners=(listener(66),), answer=OPEN)


def entry(name: str = "a", **fields: Any) -> Entry:
    return Entry(name, {**FIELDS, **fields})


FREE = Expected((), None)
WANTED = Expected((entry(),), "jerry")
LOST = Expected((), None, lost=(entry("lost", port=None, wanted=8100),))
LOADED = Expected((entry(process={"pid": 10, "ready_at": "t"}),), "jerry")


def serving(line: str, family: tuple[str, ...] = (WORKER, TRACKER)) -> PortEvidence:
    return SERVING._replace(servers=(server(line, family),))


def wanting(**fields: Any) -> Expected:
    return Expected((entry(**fields),), "jerry")


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
    "the snapshot is gone": (SERVING, Expected((entry(),), "jerry", ("a",)), "ready", "missing"),
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
    assert plan({8100: NOTHING._replace(job=holder)}, {8100: WANTED}).actions == ()


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
    assert plan({8100: NOTHING._replace(**seen)}, {8100: WANTED}).actions == ()


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
        Expected((entry(),), "x", ("a",)),
    ]
)


@given(evidence, wants)
def test_the_plan_clears_exactly_what_is_proven_gone(seen: PortEvidence, wanted: Expected):
    verdict, found = diagnose(seen, wanted), plan({8100: seen}, {8100: wanted})
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
    found = plan(seen, {8100: WANTED, 8101: WANTED, 8102: FREE, 8103: WANTED}).to_wire()
    assert [(a["entry"], a["port"]) for a in found["actions"]] == [("a", 8100)]
    assert [(d["drift"], d["port"], d["entry"]) for d in found["drift"]] == [
        ("unknown", 8101, "a"),
        ("foreign", 8102, None),
    ]
