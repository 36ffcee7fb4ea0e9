"""Every check of a verification, passed once and failed once, against a server that misbehaves on
demand. Runs on Python 3.9 too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mlxops.agent.errors import Interrupted
from mlxops.agent.verify.chat import Endpoint
from mlxops.agent.verify.checks import Check
from mlxops.agent.verify.completion import NoCompletion
from mlxops.agent.verify.verification import (
    TOOL,
    UNKNOWN_MODEL,
    Target,
    Verification,
    smoke_test,
    verify_server,
)
from tests.agent.servers.test_ready import CHAT
from tests.support.launching import NAME, Launcher
from tests.support.rudeness import MANNERS as RUDE

PARIS = '{"city": "Paris"}'
CALLED = [[TOOL, PARIS]]
# switches -> the one check that is red for them
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another model answers": ({"answers_as": "somebody"}, "identity"),
    "any name is served": ({"any_name": True}, "other names"),
    "nothing is said": ({"says": "", "streams": "x"}, "plain"),
    "nothing is streamed": ({"streams": ""}, "stream"),
    "a whole answer without a finish_reason": ({"finish": "", "stream_finish": "stop"}, "plain"),
    "a stream without a finish_reason": ({"stream_finish": ""}, "stream"),
    "a stream without an end": ({"sse": "no_done"}, "stream"),
    "a stream that is no JSON": ({"sse": "broken"}, "stream"),
    "a stream with an error in it": ({"sse": "error"}, "stream"),
    "a line without an end": ({"sse": "one_line"}, "stream"),
    "a stream that is another answer": ({"streams": "You are JADE"}, "same answer"),
    "two reasons to end": ({"finish": "length", "stream_finish": "stop"}, "finish_reason"),
    "the model's own tags": ({"says": "<|channel|>final<|message|>hello"}, "raw tags"),
    "tags in the stream alone": ({"streams": "<think>hm</think>I am org/amber"}, "raw tags"),
    "a tag in the reasoning": ({"reasoning": "<|channel|>analysis"}, "raw tags"),
    "all of it taken for reasoning": ({"reasoning": "I am JADE.", "says": ""}, "reasoning"),
    "a tool call in the content": ({"calls": [], "says": "<tool_call>{}</tool_call>"}, "tool call"),
    "arguments that are no JSON": ({"calls": [[TOOL, "{city: Paris"]]}, "tool call"),
    "a call that is lost in the stream": ({"calls": CALLED, "stream_calls": []}, "same tool call"),
    "other arguments in the stream": (
        {"calls": CALLED, "stream_calls": [[TOOL, "{}"]]},
        "same tool call",
    ),
    "the tool's result is not taken": ({"calls": CALLED, "after": ""}, "tool call"),
    "tags after the tool's result": ({"calls": CALLED, "after": "<|im_start|>21"}, "tool call"),
}


@pytest.fixture(scope="module")
def jerry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """One server for all tests; its switches work while it runs."""
    made = Launcher(tmp_path_factory.mktemp("jerry"), "mlx-openai-server")
    made.serving()
    yield made
    made.end()


def subject(server: Launcher, **more: Any) -> Target:
    return Target(
        Endpoint("127.0.0.1", server.port),
        NAME,
        **{"checks_names": True, **more},
        tools=True,
        reasoning=True,
    )


def proof(server: Launcher, timeout_s: float = 20.0, **switches: Any) -> Verification:
    server.fake.behaves(**switches)
    return verify_server(subject(server), timeout_s)


def named(found: Verification, name: str) -> Check:
    return next(check for check in found.checks if check.check == name)


def test_a_good_server_passes_every_check(jerry: Launcher):
    found = proof(jerry, calls=CALLED, reasoning="let me see", usage=9)
    assert [check.check for check in found.checks] == [
        "identity",
        "plain",
        "stream",
        "same answer",
        "raw tags",
        "reasoning",
        "other names",
        "tool call",
        "same tool call",
    ]
    assert found.failures == () and {check.ok for check in found.checks} == {True}, found.checks
    assert named(found, "reasoning").detail == "separate from the answer, 10 characters"
    assert found.served_model == NAME and (found.first_token_ms or 0) > 0


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_by_the_check_for_it(jerry: Launcher, case: str):
    switches, wrong = WRONG[case]
    faults = proof(jerry, **switches).failures
    assert wrong in [check.check for check in faults], faults
    assert all(
        check.detail and check.detail.isprintable()
        for check in faults
        if "memory" not in check.detail
    )


def test_a_model_that_calls_no_tool_and_does_not_think_is_no_fault(jerry: Launcher):
    found = proof(jerry)
    assert found.failures == () and named(found, "tool call").ok is None
    assert (
        "did not call the tool" in named(found, "tool call").detail
        and named(found, "reasoning").detail == "the model did not reason"
    )


def test_answers_that_never_repeat_cannot_be_compared(jerry: Launcher):
    found = proof(jerry, moods=True)
    assert found.failures == () and "cannot be compared" in named(found, "same answer").detail


def test_the_pace_is_that_of_the_stream(jerry: Launcher):
    counted = proof(jerry, tokens=11, token_s=0.02)
    assert 4 < (counted.tokens_per_s or 0) < 55 and "by chunks" in named(counted, "stream").detail
    told = proof(jerry, tokens=11, token_s=0.02, usage=101)
    assert 40 < (told.tokens_per_s or 0) < 550 and "by usage" in named(told, "stream").detail


@pytest.mark.parametrize("sse", ["endless", "comments", "drip"])
def test_a_stream_without_end_ends_in_time(jerry: Launcher, sse: str):
    began = time.monotonic()
    found = proof(jerry, 2.0, sse=sse)
    assert time.monotonic() - began < 10
    assert named(found, "plain").ok is True
    judged_in_time(named(found, "stream"))


@pytest.mark.parametrize("manner", sorted({*RUDE} - {"wrong_types"}))
def test_rudeness_is_a_fault_in_time_and_nothing_else(jerry: Launcher, manner: str):
    began = time.monotonic()
    found = proof(jerry, 0.3, rude=manner)
    assert time.monotonic() - began < 6
    judged_in_time(named(found, "plain"))
    assert found.served_model is None and found.tokens_per_s is None


def judged_in_time(check: Check) -> None:
    """Failed, except for checks with too little time for any server: these are unknown."""
    assert check.ok is (None if "no complete answer within" in check.detail else False), check


def test_who_does_not_answer_in_all_the_time_one_may_take_is_wrong(jerry: Launcher):
    jerry.fake.behaves(hang=[CHAT])
    try:
        found = verify_server(
            subject(jerry)._replace(endpoint=Endpoint("127.0.0.1", jerry.port, fair_timeout_s=0.1)),
            0.3,
        )
    finally:
        jerry.fake.behaves()
    assert named(found, "plain").ok is False and named(found, "stream").ok is None


def test_a_name_without_an_end_is_shown_in_part(jerry: Launcher):
    found = proof(jerry, answers_as="n" * 500_000, any_name=True)
    assert named(found, "identity").ok is False and found.served_model == "n" * 200


def test_what_is_given_up_is_cut(jerry: Launcher):
    """The server notices at once, and stops generating."""
    jerry.fake.behaves(tokens=100_000, token_s=0.01)
    with pytest.raises(NoCompletion, match=r"no complete answer within 0\.5 s"):
        smoke_test(subject(jerry), 0.5)
    jerry.fake.behaves()
    assert proof(jerry).failures == ()


def test_a_light_server_is_never_asked_by_another_name(tmp_path_factory: pytest.TempPathFactory):
    """There, a model name in a request loads that model."""
    light = Launcher(tmp_path_factory.mktemp("light"), "mlx_lm.server")
    try:
        light.serving()
        light.fake.behaves(calls=CALLED)
        assert (
            verify_server(
                subject(light, checks_names=False)._replace(name="default_model"), 20
            ).failures
            == ()
        )
        asked = [record["model"] for record in light.fake.journal("chat")]
        assert len(asked) >= 6 and set(asked) == {"default_model"}
    finally:
        light.end()


def test_a_name_that_nobody_has_is_asked_once_and_for_one_token(jerry: Launcher):
    proof(jerry)
    assert UNKNOWN_MODEL in [record["model"] for record in jerry.fake.journal("chat")]


def test_a_cancel_is_heard_while_an_answer_is_waited_for(jerry: Launcher):
    jerry.fake.behaves(hang=[CHAT])
    until = time.monotonic() + 0.5

    def check() -> None:
        if time.monotonic() > until:
            raise Interrupted("cancelled")

    try:
        with pytest.raises(Interrupted):
            verify_server(
                subject(jerry)._replace(endpoint=Endpoint("127.0.0.1", jerry.port, check)), 60
            )
        assert time.monotonic() - until < 3
    finally:
        jerry.fake.behaves()


def streams(server: Launcher) -> list[dict[str, Any]]:
    return [record for record in server.fake.journal("chat") if record["stream"]]


def test_a_glance_is_one_short_stream(jerry: Launcher):
    jerry.fake.behaves()
    before = len(streams(jerry))
    found = smoke_test(subject(jerry), 20)
    assert len(streams(jerry)) == before + 1 and found.failures == () and found.served_model == NAME
    jerry.fake.behaves(says="<think>hm")
    assert [check.check for check in smoke_test(subject(jerry), 20).failures] == ["raw tags"]
