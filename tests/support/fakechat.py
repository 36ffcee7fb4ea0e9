"""The chat answers of the stand-in model server, valid or malformed. Runs on Python 3.9 too.

Switches of behaviour.json, in addition to those of fakeswitches:
  says            the content of an answer; see `reasoning` too
  streams         the content of a streamed answer, if it differs
  calls           [[name, arguments], …]: the tool calls it makes when it is offered tools
  stream_calls    the same for streamed answers
  after           the content once it has received a tool's result
  finish          the finish_reason of every answer, "" for none; stream_finish: of streams
  answers_as      the model its answers name; any_name: serve requests for any model name
  moods           every answer differs
  usage           the completion_tokens it reports
  sse             one of MANNERS: how streams are sent
  tokens, token_s stream that many numbers, token_s seconds apart
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from tests.support.fakeswitches import switch
from tests.support.rudeness import DRIP_S, DRIPS

Send = Callable[[bytes], object]
Request = dict[str, Any]
moods = count()


def message(request: Request, usually: str, stream: bool) -> dict[str, Any]:
    """The message of an answer."""
    if request.get("messages") and request["messages"][-1].get("role") == "tool":
        return {"role": "assistant", "content": _told("after", usually)}
    said = {
        "role": "assistant",
        "content": _content(usually, stream),
        "reasoning_content": switch("reasoning"),
    }
    calls = (
        switch("stream_calls") if stream and switch("stream_calls") is not None else switch("calls")
    )
    if request.get("tools") and calls:
        return {
            **said,
            "content": "",
            "tool_calls": [_call(at, *call) for at, call in enumerate(calls)],
        }
    return said


def _content(usually: str, stream: bool) -> str:
    if switch("moods"):
        return f"{usually}, mood {next(moods)}"
    return _told("streams", _told("says", usually)) if stream else _told("says", usually)


def _told(name: str, usually: str) -> Any:
    return usually if switch(name) is None else switch(name)


def _call(at: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "index": at,
        "id": f"call_{at}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def finish(said: dict[str, Any], stream: bool) -> Any:
    for name in ("stream_finish", "finish") if stream else ("finish",):
        if switch(name) is not None:
            return switch(name) or None
    return "tool_calls" if said.get("tool_calls") else "stop"


def completion(request: Request, usually: str, model: str) -> dict[str, Any]:
    """A complete answer."""
    said = message(request, usually, False)
    choice = {"index": 0, "finish_reason": finish(said, False), "message": said}
    answer = {"object": "chat.completion", "model": _told("answers_as", model), "choices": [choice]}
    return {**answer, "usage": _usage()} if switch("usage") else answer


def _usage() -> dict[str, Any]:
    return {"prompt_tokens": 1, "completion_tokens": switch("usage")}


def events(request: Request, usually: str, model: str) -> Iterator[bytes]:
    """A streamed answer, event by event."""
    name = _told("answers_as", model)
    said = message(request, usually, True)
    for delta in _numbers() if switch("tokens") else _deltas(said):
        yield _event(name, delta)
    yield _event(name, {}, finish(said, True))
    if switch("usage"):
        yield _line({"model": name, "choices": [], "usage": _usage()})
    yield b"data: [DONE]\n\n"


def _numbers() -> Iterator[dict[str, Any]]:
    for number in range(switch("tokens")):
        yield {"content": f"{number} "}
        time.sleep(switch("token_s"))


def _deltas(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant"}
    for key in ("reasoning_content", "content"):
        for word in (said.get(key) or "").split(" "):
            yield {key: word if word == (said[key] or "").split(" ")[0] else " " + word}
    for call in said.get("tool_calls") or ():
        function = call["function"]
        yield {"tool_calls": [{**call, "function": {"name": function["name"], "arguments": ""}}]}
        yield {
            "tool_calls": [
                {"index": call["index"], "function": {"arguments": function["arguments"]}}
            ]
        }


def _event(model: str, delta: dict[str, Any], finish_reason: Any = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _line({"object": "chat.completion.chunk", "model": model, "choices": [choice]})


def _line(document: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps(document).encode()


def stream(lines: Iterator[bytes], send: Send) -> None:
    """Send a stream in the requested manner."""
    MANNERS[switch("sse") or "well"](lines, send)


def _well(lines: Iterator[bytes], send: Send) -> None:
    for line in lines:
        send(line)


def _no_done(lines: Iterator[bytes], send: Send) -> None:
    for line in lines:
        if b"[DONE]" not in line:
            send(line)


def _broken(lines: Iterator[bytes], send: Send) -> None:
    send(next(lines))
    send(b'data: {"choices": [{"delta": \n\n')


def _error(lines: Iterator[bytes], send: Send) -> None:
    send(next(lines))
    send(_line({"error": {"message": "out of \x1b[31mmemory", "code": 500}}))
    _well(lines, send)


def _endless(lines: Iterator[bytes], send: Send) -> None:
    while True:
        send(_event("jerry", {"content": "more " * 1000}))


def _one_line(lines: Iterator[bytes], send: Send) -> None:
    send(b"data: ")
    while True:
        send(b"x" * (1 << 16))


def _comments(lines: Iterator[bytes], send: Send) -> None:
    while True:
        send(b": still here\n\n" * 1000)


def _drip(lines: Iterator[bytes], send: Send) -> None:
    for byte in b"data: " + b" " * DRIPS:
        send(bytes([byte]))
        time.sleep(DRIP_S)


MANNERS = {
    "well": _well,
    "no_done": _no_done,
    "broken": _broken,
    "error": _error,
    "endless": _endless,
    "one_line": _one_line,
    "comments": _comments,
    "drip": _drip,
}
