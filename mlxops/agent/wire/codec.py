"""The codec between client and agent: one JSON object per line, and length-prefixed frames. Shared
by both sides."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List

from ..errors import LinkLost, MlxopsError

PROTOCOL = 1
PING_INTERVAL_S = 5.0
# So that a dead link is reported within 20 s.
SILENCE_TIMEOUT_S = 18.0
MAX_LINE_BYTES = 64 << 20

PING = b"ping\n"
CANCEL = b"cancel\n"
START = b"go\n"


def frame(payload: bytes) -> bytes:
    """The payload after its length in decimal and a newline."""
    return b"%d\n" % len(payload) + payload


def encode(record: Dict[str, Any]) -> bytes:
    """A record as one line of ASCII. A lone surrogate in a file name is escaped."""
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Dict[str, Any]:
    """The record of a line; LinkLost if it is not a JSON object."""
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise LinkLost("the agent sent a line that is not a record", line=repr(line[:200]))
    return record


def event(name: str, **fields: Any) -> Dict[str, Any]:
    return {"event": name, **fields}


def result(value: Any) -> Dict[str, Any]:
    return {"result": value}


def error(exc: MlxopsError) -> Dict[str, Any]:
    return {"error": exc.to_wire()}


class Lines:
    """Splits a stream of chunks into lines without their newline."""

    def __init__(self, longest: int = MAX_LINE_BYTES) -> None:
        self._longest = longest
        self._parts: List[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this chunk completes; LinkLost if one exceeds the limit."""
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            yield b"".join(self._parts) + piece
            self._parts, self._held = [], 0
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
        if self._held > self._longest:
            raise LinkLost("the agent sent a line of over %d bytes" % self._longest)
