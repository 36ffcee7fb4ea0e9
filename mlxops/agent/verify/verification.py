"""Verify by real requests that a server works: model name, speed, tool calls, no leaked control
tokens."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ..clock import Deadline
from . import checks as judged
from .chat import ChatRequest, Endpoint, Message, Outcome, try_chat
from .checks import Check
from .completion import Completion, NoCompletion, ToolCall, excerpt

# gpt-oss needs 256 tokens for its analysis, and other reasoning models some hundred before they
# answer.
MAX_TOKENS = 1024
SMOKE_TEST_TOKENS = 8
LEAK_CHECK_TOKENS = 256
UNFINISHED = "time"
UNKNOWN_MODEL = "mlxops-asks-under-a-name-nobody-has"
QUESTION = "Count from one to twenty in words. Say nothing else."
TOOL_QUESTION = "What is the temperature in Paris right now? Use the tool."
TOOL = "get_temperature"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "The present temperature in a city, in degrees Celsius.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "the city's name"}},
                "required": ["city"],
            },
        },
    }
]
TOOL_RESULT = '{"celsius": 21}'


class Target(NamedTuple):
    """A server to verify. `name`: the model to request, None to name no model.

    `checks_names`: it must refuse other names; never set for a runtime that loads a model by name.
    `tools`, `reasoning`: whether a parser for them is set. `marks`: control tokens that its own
    mlx-lm knows."""

    endpoint: Endpoint
    name: Optional[str]
    checks_names: bool = False
    tools: bool = False
    reasoning: bool = False
    marks: Tuple[str, ...] = ()

    def request(
        self, messages: List[Message], tools: Optional[List[Dict[str, Any]]] = None
    ) -> ChatRequest:
        return ChatRequest(self.name, messages, MAX_TOKENS, tools)


class Verification(NamedTuple):
    """The results. `served_model`: the model name in the answers."""

    checks: Tuple[Check, ...]
    served_model: Optional[str] = None
    first_token_ms: Optional[float] = None
    tokens_per_s: Optional[float] = None

    @property
    def failures(self) -> Tuple[Check, ...]:
        return tuple(check for check in self.checks if check.ok is False)

    def to_wire(self) -> Dict[str, Any]:
        return {**self._asdict(), "checks": [check.to_wire() for check in self.checks]}


class AnswerPair(NamedTuple):
    """One question, asked plain and streamed; `again`: plain once more if the answers differ."""

    plain: Outcome
    streamed: Outcome
    again: Optional[Outcome] = None

    @property
    def completions(self) -> Dict[str, Completion]:
        both = {"plain": self.plain, "streamed": self.streamed}
        return {
            kind: completion
            for kind, completion in both.items()
            if isinstance(completion, Completion)
        }

    def same(self) -> Check:
        plain, streamed = self.plain, self.streamed
        if not isinstance(plain, Completion) or not isinstance(streamed, Completion):
            return Check("same answer", None, "there are not two answers to compare")
        second = self.again if isinstance(self.again, Completion) else None
        return judged.same(plain, streamed, second, MAX_TOKENS)


def verify_server(subject: Target, timeout_s: float) -> Verification:
    """Run all checks, one request after another, within `timeout_s`."""
    deadline = Deadline(timeout_s)
    talk = _round(subject, deadline, subject.request([_user(QUESTION)]))
    checks = [judged.answered("plain", talk.plain), judged.answered("stream", talk.streamed)]
    answers = talk.completions
    if answers:
        checks = [
            judged.identity(subject.name, [*answers.values()]),
            *checks,
            *_finish(talk),
            talk.same(),
        ]
        checks.append(judged.raw_tags(answers, MAX_TOKENS, subject.marks))
        checks += [judged.reasoning(answers, MAX_TOKENS)] if subject.reasoning else []
        checks += [_other_name(subject, deadline)] if subject.checks_names else []
        checks += _tool_checks(subject, deadline) if subject.tools else []
    if deadline.passed:
        detail = "not every request fitted into %g s; try a longer --timeout" % timeout_s
        checks.append(Check(UNFINISHED, None, detail))
    streamed = talk.streamed if isinstance(talk.streamed, Completion) else Completion()
    named = next(
        (excerpt(completion.model) for completion in answers.values() if completion.model), None
    )
    return Verification(tuple(checks), named, streamed.first_ms, streamed.tokens_per_s)


def smoke_test(subject: Target, timeout_s: float, tokens: int = SMOKE_TEST_TOKENS) -> Verification:
    """Send one short streamed chat. Raises NoCompletion if there is no answer.

    Streamed, because a plain answer that is cut off while reasoning shows control tokens without a
    fault."""
    deadline, request = Deadline(timeout_s), ChatRequest(subject.name, [_user(QUESTION)], tokens)
    try:
        completion = subject.endpoint.stream_chat(request, timeout_s)
        stream = Check(
            "stream",
            completion.complete,
            "to its end" if completion.complete else "the stream ended without [DONE]",
        )
    except NoCompletion as exc:
        if deadline.passed:
            raise
        completion = subject.endpoint.chat(request, deadline.left())
        stream = Check("stream", False, exc.reason)
    checks = (
        judged.identity(subject.name, [completion]),
        stream,
        judged.raw_tags({"short": completion}, MAX_TOKENS),
    )
    return Verification(
        checks,
        excerpt(completion.model) if completion.model else None,
        completion.first_ms,
        completion.tokens_per_s,
    )


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _round(subject: Target, deadline: Deadline, request: ChatRequest) -> AnswerPair:
    plain = _try_within(deadline, lambda limit_s: subject.endpoint.chat(request, limit_s))
    streamed = _try_within(deadline, lambda limit_s: subject.endpoint.stream_chat(request, limit_s))
    done = AnswerPair(plain, streamed)
    if (
        isinstance(plain, Completion)
        and isinstance(streamed, Completion)
        and judged.difference(plain, streamed)
    ):
        # Two plain answers that differ show that its draw cannot be pinned, whatever was asked for.
        done = done._replace(
            again=_try_within(deadline, lambda limit_s: subject.endpoint.chat(request, limit_s))
        )
    return done


def _try_within(deadline: Deadline, call: Callable[[float], Completion]) -> Outcome:
    limit_s = deadline.left()
    return try_chat(lambda: call(limit_s)) if limit_s else NoCompletion("no time left", fault=False)


def _finish(talk: AnswerPair) -> List[Check]:
    reasons = {kind: completion.finish for kind, completion in talk.completions.items()}
    if len(set(reasons.values())) < 2:
        return []
    detail = ", ".join("%s %s" % pair for pair in reasons.items())
    return [Check("finish_reason", False, detail)]


def _other_name(subject: Target, deadline: Deadline) -> Check:
    request = ChatRequest(UNKNOWN_MODEL, [_user(QUESTION)], 1)
    return judged.other_name(
        _try_within(deadline, lambda limit_s: subject.endpoint.chat(request, limit_s))
    )


def _tool_checks(subject: Target, deadline: Deadline) -> List[Check]:
    """Offer a tool, let the model call it, and return its result, as a client would."""
    question = [_user(TOOL_QUESTION)]
    talk = _round(subject, deadline, subject.request(question, TOOLS))
    for kind, outcome_ in (("plain", talk.plain), ("streamed", talk.streamed)):
        if isinstance(outcome_, NoCompletion):
            failed = judged.answered("tool call", outcome_)
            return [failed._replace(detail="%s, with a tool offered: %s" % (kind, failed.detail))]
    answers = talk.completions
    after: Outcome = NoCompletion("the tool was not called", fault=False)
    first = next(iter(answers["plain"].tool_calls or answers["streamed"].tool_calls), None)
    if first is not None and first.parsed_arguments is not None:
        following = subject.request([*question, *_used(first)], TOOLS)
        after = _try_within(deadline, lambda limit_s: subject.endpoint.chat(following, limit_s))
    return [
        judged.tool_call(answers, after, TOOL, MAX_TOKENS, marks=subject.marks),
        talk.same()._replace(check="same tool call"),
    ]


def _used(call: ToolCall) -> List[Message]:
    """The messages that return the result of a tool call."""
    made = {
        "id": "call_1",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    return [
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "call_1", "name": call.name, "content": TOOL_RESULT},
    ]
