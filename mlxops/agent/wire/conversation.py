"""The asking side of one call, without any input or output: what to send, and the records in what
comes back. Used by the client, and by an agent that asks the agent of another host."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Iterator, Tuple

from ..errors import MlxopsError
from .bootstrap import Bundle
from .codec import Lines, decode

MAX_DELIVERIES = 2
NOISE_TAIL_BYTES = 1 << 16


class Conversation:
    """The bytes of one call, from the marker to the last record.

    `started`: the agent runs. Until then `noise` is the end of what the login printed, and
    `noise_bytes` its length in all."""

    def __init__(
        self,
        bundle: Bundle,
        deliver: Callable[[bytes], None],
        stub_error: Callable[[str, str], MlxopsError],
    ) -> None:
        """`deliver` sends the agent where it is missing; `stub_error` makes an error of the stub's
        word and text."""
        self._bundle = bundle
        self._deliver = deliver
        self._stub_error = stub_error
        self.marker = os.urandom(16).hex()
        self._lines = Lines()
        self._deliveries = 0
        self.started = False
        self.noise = b""
        self.noise_bytes = 0

    def handshake(self, state_dir: str, request: bytes) -> bytes:
        """What opens the call."""
        return self._bundle.handshake(self.marker, state_dir, request)

    def feed(self, chunk: bytes) -> Iterator[Dict[str, Any]]:
        """The records that this chunk completes; LinkLost for a line that is not one."""
        for line in self._lines.feed(chunk if self.started else self._after_ok(chunk)):
            yield decode(line)

    def _after_ok(self, chunk: bytes) -> bytes:
        """The bytes that follow OK; none until it comes."""
        self.noise = self.noise[-NOISE_TAIL_BYTES:] + chunk
        self.noise_bytes += len(chunk)
        while True:
            word, text, rest = parse_stub_line(self.noise, self.marker.encode())
            if word == "OK":
                self.started = True
                return rest
            if not word:
                return b""
            if word != "MISS" or self._deliveries == MAX_DELIVERIES:
                raise self._stub_error(word, text)
            self.noise = rest
            self._deliveries += 1
            self._deliver(self._bundle.frames())


def parse_stub_line(received: bytes, marker: bytes) -> Tuple[str, str, bytes]:
    """The stub's word and text, and the bytes after its line; no word if the line is not complete.

    The marker may follow anything, even a prompt without a newline."""
    _, found, after = received.partition(marker + b" ")
    line, newline, rest = after.partition(b"\n")
    if not found or not newline:
        return "", "", b""
    word, _, text = line.decode("utf-8", "replace").partition(" ")
    return word, text, rest
