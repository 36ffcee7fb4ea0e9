"""The codec, with input cut anywhere, and with a line that never ends."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mlxops.agent.errors import LinkLost
from mlxops.agent.wire.codec import MAX_LINE_BYTES, Lines, decode, encode, event
from tests.fuzz.conversing import converse

CHUNK = 1 << 16
SAID = (
    encode(event("phase", phase="wait"))
    + json.dumps({"result": {"é日本": "𝄞"}}, ensure_ascii=False).encode()
    + b"\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, len(SAID)])
def test_a_stream_that_stutters_or_is_cut_inside_a_character_says_the_same(size: int) -> None:
    chunks = [SAID[at : at + size] for at in range(0, len(SAID), size)]
    assert converse(chunks) == {"é日本": "𝄞"}
    lines = Lines()
    assert [decode(line) for chunk in chunks for line in lines.feed(chunk)] == [
        *map(json.loads, SAID.splitlines())
    ]


def test_of_a_line_of_100_mb_no_more_is_taken_in_than_a_line_may_have() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while taken < 100_000_000:
            taken += CHUNK
            yield b"x" * CHUNK

    lines = Lines()
    with pytest.raises(LinkLost, match=f"over {MAX_LINE_BYTES} bytes"):
        for chunk in endless():
            assert list(lines.feed(chunk)) == []
    assert taken <= MAX_LINE_BYTES + CHUNK


def test_a_call_ends_at_a_line_of_100_mb() -> None:
    with pytest.raises(LinkLost, match="a line of over"):
        converse([b"x" * CHUNK] * (100_000_000 // CHUNK))
