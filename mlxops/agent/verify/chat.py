"""Chat with a server, streamed or not, with a limit on time and size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Union

from ..api_key import NO_KEY, REFUSED, ApiKey
from ..background import Value
from ..errors import MlxopsError
from ..ports import probe
from .completion import (
    Completion,
    NoCompletion,
    StreamAssembler,
    excerpt,
    from_document,
    parse_json,
)

if TYPE_CHECKING:
    from http.client import HTTPResponse

PATH = "/v1/chat/completions"
MAX_LINE_BYTES = 256 << 10
MAX_STREAM_BYTES = 8 << 20
FAIR_TIMEOUT_S = 240.0
Message = Dict[str, Any]
Outcome = Union[Completion, NoCompletion]


class ChatRequest(NamedTuple):
    """A chat to request. `name` None: name no model. Greedy, so a seed has no effect.

    A seed would take the request out of mlx_lm.server's batch and delay all others."""

    name: Optional[str]
    messages: List[Message]
    max_tokens: int
    tools: Optional[List[Dict[str, Any]]] = None

    def body(self, stream: bool) -> Dict[str, Any]:
        body = {
            "model": self.name,
            "messages": self.messages,
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "tools": self.tools,
            "stream": stream,
            "stream_options": {"include_usage": True} if stream else None,
        }
        return {key: value for key, value in body.items() if value is not None}


class Endpoint(NamedTuple):
    """Where a server answers. `check` is called while an answer is awaited, and may raise.

    No answer within `fair_timeout_s` is a fault; a shorter time may only mean that the server is
    slow or busy."""

    address: str
    port: int
    check: Callable[[], None] = lambda: None
    fair_timeout_s: float = FAIR_TIMEOUT_S
    key: ApiKey = NO_KEY

    def chat(self, asked: ChatRequest, timeout: float) -> Completion:
        """The complete answer; NoCompletion if there is none."""
        reply = self._post(asked.body(False), timeout, probe.read_reply)
        _need(reply, self.key)
        if len(reply.body) >= probe.MAX_REPLY_BYTES:
            raise NoCompletion("the answer is longer than %d KiB" % (probe.MAX_REPLY_BYTES >> 10))
        return from_document(parse_json(reply.body))

    def stream_chat(self, asked: ChatRequest, timeout: float) -> Completion:
        """The assembled answer of a stream; NoCompletion if there is none."""
        began = time.monotonic()
        return self._post(
            asked.body(True), timeout, lambda answer: _joined(answer, began, self.key)
        )

    def _post(
        self, body: Dict[str, Any], timeout: float, read: Callable[[HTTPResponse], Value]
    ) -> Value:
        # The line's own patience comes second: what it raises has another type in Python 3.9.
        line = probe.CancellableRequest(self.address, self.port, timeout + 1, self.key)
        try:
            return probe.run_request(line, timeout, lambda: line.send(PATH, body, read), self.check)
        except (NoCompletion, MlxopsError):
            raise
        except TimeoutError as exc:
            raise NoCompletion(
                "no complete answer within %.3g s" % timeout, fault=timeout >= self.fair_timeout_s
            ) from exc
        except Exception as exc:  # as in probe.ask: http.client raises anything on hostile answers
            raise NoCompletion("no answer: %s" % excerpt(str(exc) or type(exc).__name__)) from exc


def try_chat(call: Callable[[], Completion]) -> Outcome:
    """The answer, or the NoCompletion that was raised."""
    try:
        return call()
    except NoCompletion as exc:
        return exc


def _need(reply: probe.Reply, key: ApiKey) -> None:
    if reply.status in REFUSED:
        raise NoCompletion(key.refusal(reply.status), reply.status)
    if reply.status != 200:
        raise NoCompletion("HTTP status %d: %s" % (reply.status, excerpt(reply.body)), reply.status)


def _joined(answer: HTTPResponse, began: float, key: ApiKey) -> Completion:
    if answer.status != 200 or "event-stream" not in (answer.getheader("Content-Type") or ""):
        reply = probe.read_reply(answer)
        _need(reply, key)
        raise NoCompletion("the answer is not a stream: %s" % excerpt(reply.body))
    joined = StreamAssembler(began)
    for line in _lines(answer):
        if line == b"[DONE]":
            return joined.result(True)
        chunk = parse_json(line)
        if chunk is None:
            raise NoCompletion("a line of the stream is not JSON: %s" % excerpt(line))
        joined.add(chunk, time.monotonic())
    return joined.result(False)


def _lines(answer: HTTPResponse) -> Iterator[bytes]:
    """The `data:` fields, line by line (html.spec.whatwg.org, server-sent events)."""
    budget_bytes = MAX_STREAM_BYTES
    while True:
        line = answer.readline(MAX_LINE_BYTES)
        budget_bytes -= len(line)
        if len(line) >= MAX_LINE_BYTES or budget_bytes < 0:
            raise NoCompletion("the stream, or one line of it, is too long")
        if not line:
            return
        if line.startswith(b"data:"):
            yield line[5:].strip()
