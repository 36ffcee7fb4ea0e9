"""What answers show about a server, and when our limits or the model make them show less."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxops.agent.verify import checks as judged
from mlxops.agent.verify.completion import (
    Completion,
    NoCompletion,
    StreamAssembler,
    ToolCall,
    from_document,
    parse_json,
)

MOST = 100
CUT = Completion(finish="stop", tokens=MOST)
PLAIN = Completion(content="four", finish="stop", tokens=3)
KEYS = [
    "choices",
    "delta",
    "message",
    "content",
    "tool_calls",
    "function",
    "name",
    "index",
    "usage",
    "error",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


def delta(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"delta": fields, "finish_reason": None}]}


def test_pieces_of_a_stream_are_joined():
    joined = StreamAssembler(10.0)
    joined.add(delta(role="assistant"), 10.5)
    joined.add(delta(reasoning="hm"), 11.0)
    joined.add(delta(content="fo"), 11.5)
    joined.add(
        delta(content="ur", tool_calls=[{"index": 1, "function": {"name": "b", "arguments": ""}}]),
        12.0,
    )
    joined.add(delta(tool_calls=[{"index": 0, "function": {"name": "a", "arguments": "{}"}}]), 12.5)
    joined.add(delta(tool_calls=[{"index": 1, "function": {"arguments": '{"x":'}}]), 12.5)
    joined.add(delta(tool_calls=[{"index": 1, "function": {"arguments": "1}"}}]), 13.0)
    joined.add({"choices": [], "usage": {"completion_tokens": 5}}, 13.0)
    said = joined.result(True)
    assert (said.content, said.reasoning, said.tool_calls) == (
        "four",
        "hm",
        (ToolCall("a", "{}"), ToolCall("b", '{"x":1}')),
    )
    assert (said.first_ms, said.seconds, said.tokens, said.tokens_per_s, said.model) == (
        1000.0,
        2.0,
        5,
        2.0,
        "m",
    )


def test_a_pace_is_not_that_of_a_buffer_which_is_emptied():
    """On a busy machine, five delayed tokens arrived within 0.1 ms."""
    assert Completion(tokens=6, first_ms=2328.0, seconds=0.0001).tokens_per_s == 2.6
    assert Completion(tokens=6, first_ms=2328.0, seconds=0.5).tokens_per_s == 10.0
    assert Completion(tokens=1, first_ms=9.0, seconds=0.5).tokens_per_s is None
    assert Completion(tokens=9).tokens_per_s is None


@settings(max_examples=60)
@given(ANYTHING)
def test_whatever_comes_is_an_answer_or_none(document: Any):
    for read in (from_document, lambda one: StreamAssembler(0.0).add(one, 1.0)):
        try:
            read(document)
        except NoCompletion as none:
            assert none.reason


def test_what_is_nested_too_deep_is_no_json():
    assert parse_json("[" * 100_000) is None


def test_tags_of_an_answer_that_our_limit_cut_off_are_no_fault_of_the_server():
    """A parser waits for a closing tag that never comes: compare complete answers only."""
    open_end = CUT._replace(content="<think>so much to say")
    assert judged.raw_tags({"plain": open_end, "streamed": PLAIN}, MOST).ok is None
    assert judged.raw_tags({"plain": open_end._replace(tokens=MOST - 1)}, MOST).ok is False
    assert (
        judged.raw_tags({"plain": open_end._replace(tokens=None, finish="length")}, MOST).ok is None
    )
    assert (
        judged.raw_tags({"plain": PLAIN, "streamed": PLAIN._replace(content="</think>")}, MOST).ok
        is False
    )


def test_reasoning_without_an_answer_is_a_fault_unless_it_was_cut_off():
    assert (
        judged.reasoning({"plain": Completion(reasoning="I am fine", tokens=3)}, MOST).ok is False
    )
    assert judged.reasoning({"plain": CUT._replace(reasoning="so")}, MOST).ok is None
    assert (
        judged.reasoning(
            {"plain": Completion(reasoning="call it", tool_calls=(ToolCall("f", "{}"),))}, MOST
        ).ok
        is True
    )


@pytest.mark.parametrize(
    ("again", "ok"),
    [
        (PLAIN, False),
        (None, None),
        (PLAIN._replace(content="five"), None),
        (Completion(content="4"), True),
    ],
)
def test_two_answers_differ_only_where_the_plain_one_repeats_itself(
    again: Completion | None, ok: bool | None
):
    """The second plain answer has the prompt in the cache, as the stream had, so it may agree with
    the stream."""
    assert judged.same(PLAIN, Completion(content="4"), again, MOST).ok is ok


def test_blanks_around_an_answer_and_the_order_of_arguments_are_no_difference():
    one = Completion(content="\n\nfour ", tool_calls=(ToolCall("f", '{"a": 1, "b": 2}'),))
    assert (
        judged.difference(
            one, Completion(content="four", tool_calls=(ToolCall("f", '{"b":2,"a":1}'),))
        )
        == ""
    )
    assert (
        judged.difference(
            one, Completion(content="four", tool_calls=(ToolCall("f", '{"b":2,"a":2}'),))
        )
        != ""
    )
    assert judged.difference(Completion(content="fo ur"), Completion(content="four")) != ""


def test_a_server_that_names_no_model_has_no_identity_to_be_wrong():
    assert judged.identity("jerry", [PLAIN]).ok is None
    assert judged.identity(None, [PLAIN._replace(model="somebody")]).ok is None


def test_what_was_not_asked_is_no_fault():
    assert judged.answered("plain", NoCompletion("no time was left", fault=False)).ok is None
    assert judged.other_name(NoCompletion("no complete answer within 3 s")).ok is None
    assert judged.other_name(NoCompletion("status 500", 500)).ok is False


def test_what_is_shown_of_an_answer_is_short_and_in_one_line():
    check = judged.identity("jerry", [PLAIN._replace(model="so\nme\tbody" * 1000)])
    assert check.ok is False and len(check.detail) < 300 and "\n" not in check.detail
    json.dumps(check.to_wire())
