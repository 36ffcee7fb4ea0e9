"""The agent's line to a client that reads slowly, stops reading, cancels or vanishes. Runs on
Python 3.9 too."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mlxops.agent.errors import Interrupted
from mlxops.agent.wire import codec as wire
from mlxops.agent.wire.client import ClientLink
from tests.support.procs_actors import eventually

LINE = "x" * 1000
MORE_THAN_A_PIPE = 500


class Line:
    """A client over two pipes: `heard` is what it would read, `says` what it writes."""

    def __init__(self, silence_s: float) -> None:
        self.heard, out = os.pipe()
        stdin, self.says = os.pipe()
        self.out, self.stdin = out, os.fdopen(stdin, "rb")
        self.client = ClientLink(out, self.stdin, silence_s)

    def emits(self) -> threading.Thread:
        def work() -> None:
            for number in range(MORE_THAN_A_PIPE):
                self.client.emit("log", number=number, line=LINE)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        for fd in (self.heard, self.out):
            os.close(fd)
        self.stdin.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line(silence_s=1.0)
    yield made
    made.close()
    os.close(made.says)


def test_work_goes_on_when_the_client_reads_no_more_and_says_no_more(line: Line):
    """The pipe of a black-holed link fills up, and never reports an error."""
    worker = line.emits()
    worker.join(5)
    assert not worker.is_alive()
    assert line.client.disconnected


def test_a_slow_reader_that_still_speaks_misses_nothing(line: Line):
    worker, cut, read = line.emits(), wire.Lines(), []
    end = time.monotonic() + 2
    while time.monotonic() < end:
        line.client._heard = time.monotonic()
        time.sleep(0.01)
    while len(read) < MORE_THAN_A_PIPE:
        read += [json.loads(text) for text in cut.feed(os.read(line.heard, 1 << 16))]
        line.client._heard = time.monotonic()
    worker.join(5)
    assert [record["number"] for record in read] == list(range(MORE_THAN_A_PIPE))
    assert not line.client.disconnected


@pytest.mark.slow
def test_a_slow_reader_that_says_nothing_misses_nothing(line: Line):
    """A list is not cut off by a link that takes longer for it than a silence may last."""
    line.client._silence_s = 2.0
    worker, cut, read = line.emits(), wire.Lines(), []
    while len(read) < MORE_THAN_A_PIPE:
        time.sleep(0.1)
        assert select.select([line.heard], [], [], 5)[0], "the rest never came"
        read += [json.loads(text) for text in cut.feed(os.read(line.heard, 1 << 14))]
    worker.join(5)
    assert [record["number"] for record in read] == list(range(MORE_THAN_A_PIPE))


def test_silence_is_noticed_when_it_is_over_and_not_with_the_next_ping(line: Line):
    began, lost = time.monotonic(), []
    line.client._ping(lambda: lost.append(time.monotonic() - began))
    assert line.client.disconnected and 0.9 < lost[0] < wire.PING_INTERVAL_S


def test_a_client_that_closed_its_end_is_gone_and_costs_nothing(line: Line):
    os.close(line.heard)
    line.client.emit("log", line=LINE)
    assert line.client.disconnected
    line.client.emit("log", line=LINE)
    line.heard = os.dup(line.out)


def listening(line: Line, gone: Any = None) -> threading.Thread:
    thread = threading.Thread(target=line.client._listen, args=(gone,), daemon=True)
    thread.start()
    return thread


def test_a_cancel_is_raised_at_the_next_check(line: Line):
    reader = listening(line)
    os.write(line.says, wire.PING)
    line.client.check()
    os.write(line.says, wire.CANCEL)
    eventually(lambda: line.client.cancelled)
    with pytest.raises(Interrupted):
        line.client.check()
    os.close(line.says)
    reader.join(5)
    line.says = os.dup(line.out)


def test_the_end_of_the_clients_words_is_the_end_of_the_link(line: Line):
    lost: list[str] = []
    reader = listening(line, lambda: lost.append("gone"))
    os.close(line.says)
    reader.join(5)
    assert (lost, line.client.disconnected, line.client.cancelled) == (["gone"], True, False)
    line.says = os.dup(line.out)
