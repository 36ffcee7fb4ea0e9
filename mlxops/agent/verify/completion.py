"""A model's answer to a chat, from a complete response or from the chunks of a stream. Pure.

The server is not trusted: every value may have any type and any size."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

MAX_EXCERPT = 200
BURST_S = 0.02
MAX_CALLS = 64


class ToolCall(NamedTuple):
    """A tool call: the function's name, and its arguments as received, which should be a JSON
    object."""

    name: str
    arguments: str

    @property
    def parsed_arguments(self) -> Optional[Dict[str, Any]]:
        """The arguments; None if they are not a JSON object."""
        document = parse_json(self.arguments)
        return document if isinstance(document, dict) else None


class Completion(NamedTuple):
    """One answer. `tokens`: from its usage. `chunks`: chunks of a stream with content.

    `first_ms`: from the request to the first chunk, `seconds`: from the first to the last.
    `complete`: it ended with [DONE]."""

    model: Optional[str] = None
    content: str = ""
    reasoning: str = ""
    tool_calls: Tuple[ToolCall, ...] = ()
    finish: Optional[str] = None
    tokens: Optional[int] = None
    chunks: int = 0
    first_ms: Optional[float] = None
    seconds: float = 0.0
    complete: bool = True

    @property
    def empty(self) -> bool:
        return not (self.content.strip() or self.reasoning.strip() or self.tool_calls)

    @property
    def tokens_per_s(self) -> Optional[float]:
        """From the usage if there is one, else from the chunks; None if there are too few to tell.

        If the chunks came all at once, they were delayed: then the time before the first counts
        too."""
        count, since_asked = self.tokens or self.chunks, (self.first_ms or 0) / 1000 + self.seconds
        if count < 2 or since_asked <= 0:
            return None
        return round(
            (count - 1) / self.seconds if self.seconds > BURST_S else count / since_asked, 1
        )


class NoCompletion(Exception):
    """No answer to a chat, or an invalid one. `status`: the HTTP status, if that is the problem.

    `fault`: whether it is the server's fault; not if it had too little time."""

    def __init__(self, reason: str, status: Optional[int] = None, fault: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.status, self.fault = reason, status, fault


def parse_json(text: Any) -> Any:
    """The value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return None


def excerpt(value: Any) -> str:
    """The beginning of any value, as one line of text."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return " ".join(text[: 4 * MAX_EXCERPT].split())[:MAX_EXCERPT]


def from_document(document: Any) -> Completion:
    """The answer in a chat completion; NoCompletion for any other document."""
    choice = _choice(document, "message")
    part, finish = choice["message"], choice.get("finish_reason")
    calls = tuple(ToolCall(*_call(one)[1:]) for one in _calls(part))
    reasoning = _text(part, "reasoning_content") or _text(part, "reasoning")
    return Completion(
        model=_model(document),
        content=_text(part, "content"),
        reasoning=reasoning,
        tool_calls=calls,
        finish=_word(finish),
        tokens=_tokens(document),
    )


class StreamAssembler:
    """Assembles the chunks of a stream."""

    def __init__(self, began: float) -> None:
        self._began, self._first, self._last = began, began, began
        self._content: List[str] = []
        self._reasoning: List[str] = []
        self._calls: Dict[int, Tuple[str, str]] = {}
        self.completion = Completion(complete=False)

    def add(self, chunk: Any, now: float) -> None:
        """Add a chunk that arrived at `now`; NoCompletion for an error or an invalid chunk."""
        if not isinstance(chunk, dict) or "error" in chunk:
            raise NoCompletion("the stream broke off: %s" % excerpt(chunk))
        model, tokens = self.completion.model or _model(chunk), _tokens(chunk)
        self.completion = self.completion._replace(
            model=model, tokens=self.completion.tokens if tokens is None else tokens
        )
        if chunk.get("choices"):
            choice = _choice(chunk, "delta")
            self.completion = self.completion._replace(
                finish=_word(choice.get("finish_reason")) or self.completion.finish
            )
            self._add_delta(choice["delta"], now)

    def _add_delta(self, delta: Dict[str, Any], now: float) -> None:
        content, calls = _text(delta, "content"), _calls(delta)
        reasoning = _text(delta, "reasoning_content") or _text(delta, "reasoning")
        if not (content or reasoning or calls):
            return  # such as the first one, which only says who speaks
        self._content.append(content)
        self._reasoning.append(reasoning)
        for one in calls:
            at, name, arguments = _call(one)
            before = self._calls.get(at, ("", ""))
            self._calls[at] = (before[0] + name, before[1] + arguments)
        if len(self._calls) > MAX_CALLS:
            raise NoCompletion("the stream has more than %d tool calls" % MAX_CALLS)
        self._first = now if not self.completion.chunks else self._first
        self._last = now
        self.completion = self.completion._replace(chunks=self.completion.chunks + 1)

    def result(self, ended: bool) -> Completion:
        calls = tuple(ToolCall(*self._calls[at]) for at in sorted(self._calls))
        first = round((self._first - self._began) * 1000, 1) if self.completion.chunks else None
        return self.completion._replace(
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            tool_calls=calls,
            first_ms=first,
            seconds=self._last - self._first,
            complete=ended,
        )


def _choice(document: Any, part: str) -> Dict[str, Any]:
    choices = document.get("choices") if isinstance(document, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get(part), dict):
        raise NoCompletion("not a chat completion: %s" % excerpt(document))
    return choice


def _text(part: Dict[str, Any], key: str) -> str:
    value = part.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NoCompletion("%s of the answer is not text: %s" % (key, excerpt(value)))
    return value


def _calls(part: Dict[str, Any]) -> List[Any]:
    calls = part.get("tool_calls") or []
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        raise NoCompletion("tool_calls of the answer is not a list: %s" % excerpt(calls))
    return calls


def _call(one: Any) -> Tuple[int, str, str]:
    function = one.get("function") if isinstance(one, dict) else None
    at = one.get("index", 0) if isinstance(one, dict) else None
    if not isinstance(function, dict) or not isinstance(at, int):
        raise NoCompletion("a tool call of the answer is malformed: %s" % excerpt(one))
    return at, _text(function, "name"), _text(function, "arguments")


def _model(document: Dict[str, Any]) -> Optional[str]:
    return _word(document.get("model"))


def _word(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None


def _tokens(document: Dict[str, Any]) -> Optional[int]:
    usage = document.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return (
        count
        if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 1 << 31
        else None
    )
