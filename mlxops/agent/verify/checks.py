"""Check a server's answers. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .completion import Completion, NoCompletion, ToolCall, excerpt
from .control_tokens import find_leaks

IDENTITY, RAW_TAGS = "identity", "raw tags"
CUT_OFF = "cut off after %d tokens, so this is unknown"


class Check(NamedTuple):
    """One row of the result. `ok` None: unknown or nothing to check; `detail` gives the reason."""

    check: str
    ok: Optional[bool]
    detail: str

    def to_wire(self) -> Dict[str, Any]:
        return self._asdict()


def answered(name: str, outcome: object) -> Check:
    """Whether a chat got a complete answer that is not empty."""
    if isinstance(outcome, NoCompletion):
        return Check(name, False if outcome.fault else None, outcome.reason)
    assert isinstance(outcome, Completion)
    if not outcome.complete:
        return Check(name, False, "the stream ended without [DONE]")
    if outcome.finish is None:
        return Check(name, False, "the answer has no finish_reason")
    if outcome.empty:
        return Check(name, False, "the answer is empty, finish_reason %s" % excerpt(outcome.finish))
    return Check(name, True, _pace(outcome))


def _pace(completion: Completion) -> str:
    parts = ["finish_reason %s" % excerpt(completion.finish)]
    if completion.first_ms is not None:
        parts.insert(0, "first token after %.0f ms" % completion.first_ms)
    if completion.tokens_per_s is not None:
        parts.insert(
            1,
            "%.1f tokens/s by %s"
            % (completion.tokens_per_s, "usage" if completion.tokens else "chunks"),
        )
    return ", ".join(parts)


def identity(name: Optional[str], answers: Sequence[Completion]) -> Check:
    """Whether every answer names the requested model."""
    others = sorted(
        {
            excerpt(completion.model)
            for completion in answers
            if completion.model and completion.model != name
        }
    )
    if name is not None and others:
        return Check(
            IDENTITY, False, "requested as %s, but answers as %s" % (name, ", ".join(others))
        )
    if name is None or not any(completion.model for completion in answers):
        return Check(IDENTITY, None, "no answer names its model")
    return Check(IDENTITY, True, "answers as %s" % name)


def other_name(outcome: object) -> Check:
    """Whether a request for an unknown model name was refused."""
    if isinstance(outcome, NoCompletion):
        refused = outcome.status == 404
        detail = "refused with 404" if refused else outcome.reason
        return Check("other names", refused if outcome.status else None, detail)
    return Check("other names", False, "a request for another model name was answered")


def raw_tags(
    answers: Mapping[str, Completion], most_tokens: int, marks: Sequence[str] = ()
) -> Check:
    """Whether no control token reached the client. `marks`: to look for besides those of the known
    families."""
    leaks = {kind: _leaks(completion, marks) for kind, completion in answers.items()}
    detail = "; ".join(
        "%s answer: %s" % (kind, " ".join(tags)) for kind, tags in leaks.items() if tags
    )
    if not detail:
        return Check(RAW_TAGS, True, "none in %d answers" % len(answers))
    # A parser may wait for the end of what was cut off before it: that alone is the doing of our
    # own limit.
    if all(hit_token_limit(answers[kind], most_tokens) for kind, tags in leaks.items() if tags):
        return Check(RAW_TAGS, None, "%s; %s" % (detail, CUT_OFF % most_tokens))
    return Check(RAW_TAGS, False, detail)


def _leaks(completion: Completion, marks: Sequence[str] = ()) -> Tuple[str, ...]:
    texts = (completion.content, completion.reasoning)
    return tuple(dict.fromkeys(leak for text in texts for leak in find_leaks(text, marks)))


def hit_token_limit(said: Completion, most_tokens: int) -> bool:
    """Whether the answer ended at the test's token limit; mlx-openai-server reports `stop` even
    then."""
    return said.finish == "length" or (said.tokens or 0) >= most_tokens


def reasoning(answers: Mapping[str, Completion], most_tokens: int) -> Check:
    """Whether the reasoning parser separates reasoning from the answer."""
    for kind, completion in answers.items():
        if (
            completion.reasoning.strip()
            and not completion.content.strip()
            and not completion.tool_calls
        ):
            detail = "the whole %s answer is classified as reasoning" % kind
            if hit_token_limit(completion, most_tokens):
                return Check("reasoning", None, "%s; %s" % (detail, CUT_OFF % most_tokens))
            return Check("reasoning", False, detail)
    if any(_leaks(completion) for completion in answers.values()):
        return Check("reasoning", None, "see the raw tags check")
    lengths = [
        len(completion.reasoning) for completion in answers.values() if completion.reasoning.strip()
    ]
    return Check(
        "reasoning",
        True,
        "separate from the answer, %d characters" % max(lengths)
        if lengths
        else "the model did not reason",
    )


def same(
    plain: Completion, streamed: Completion, again: Optional[Completion], most_tokens: int
) -> Check:
    """Whether the streamed answer equals the plain one. `again`: a second plain answer, if they
    differ."""
    detail = difference(plain, streamed)
    if not detail or (again is not None and not difference(again, streamed)):
        return Check("same answer", True, "plain and streamed answers agree")
    if hit_token_limit(plain, most_tokens) or hit_token_limit(streamed, most_tokens):
        return Check("same answer", None, "%s; %s" % (detail, CUT_OFF % most_tokens))
    if again is None or difference(plain, again):
        return Check(
            "same answer", None, "cannot be compared: the model gives two answers to one question"
        )
    return Check("same answer", False, detail)


def difference(one: Completion, other: Completion) -> str:
    """How two answers differ; "" if only in blanks at their ends."""
    for what, a, b in (
        ("content", one.content, other.content),
        ("reasoning", one.reasoning, other.reasoning),
    ):
        if a.strip() != b.strip():
            return "%s differs: %r, streamed %r" % (
                what,
                excerpt(a.strip()[:60]),
                excerpt(b.strip()[:60]),
            )
    if [*map(_meaning, one.tool_calls)] != [*map(_meaning, other.tool_calls)]:
        return "tool calls differ: %s, streamed %s" % (
            _named(one.tool_calls),
            _named(other.tool_calls),
        )
    return ""


def _meaning(call: ToolCall) -> Tuple[str, object]:
    return call.name, call.arguments if call.parsed_arguments is None else call.parsed_arguments


def _named(calls: Sequence[ToolCall]) -> str:
    return excerpt(
        ", ".join("%s(%s)" % (call.name, excerpt(call.arguments)) for call in calls) or "none"
    )


def tool_call(
    answers: Mapping[str, Completion],
    after: object,
    wanted: str,
    most_tokens: int,
    *,
    marks: Sequence[str] = (),
) -> Check:
    """Whether the model calls the offered tool in a valid form, and uses its result. `after`: the
    answer to the result.

    A model may answer without the tool: that is not a fault."""
    name = "tool call"
    leaks = raw_tags(answers, most_tokens, marks)
    if leaks.ok is not True:
        return leaks._replace(check=name)
    calls: List[ToolCall] = [
        call for completion in answers.values() for call in completion.tool_calls
    ]
    if not calls:
        return Check(name, None, "the model did not call the tool")
    for call in calls:
        if call.parsed_arguments is None:
            return Check(
                name, False, "the arguments are not a JSON object: %s" % excerpt(call.arguments)
            )
        if call.name != wanted:
            return Check(
                name,
                None,
                "the model called a function that was not offered: %s" % excerpt(call.name),
            )
    reaction = answered(name, after)
    if reaction.ok is not True:
        return reaction._replace(detail="after the tool's result: " + reaction.detail)
    if isinstance(after, Completion):
        leaks = raw_tags({"following": after}, most_tokens, marks)
    return (
        Check(name, True, "called, and its result was used")
        if leaks.ok is True
        else leaks._replace(check=name)
    )
