"""Waiting until a port has no open connection. Runs on Python 3.9 too."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import Any

import pytest

from mlxops.agent.clock import Deadline, pauses, wait_for
from mlxops.agent.procs import Unobservable, local_procs
from mlxops.agent.procs.macos.darwin import Darwin
from mlxops.agent.servers.drain import connections, drain
from tests.support.procs_actors import eventually


def nothing(*_: Any) -> None:
    return


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_only_the_connections_to_this_very_port_count(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket.create_server((address, 0), family=family) as server,
        socket.create_server((address, 0), family=family),
    ):
        port = server.getsockname()[1]
        assert local_procs().connections(port) == 0
        with (
            socket.create_connection((address, port)) as one,
            socket.create_connection((address, port)),
        ):
            ends = [server.accept()[0], server.accept()[0]]
            assert (
                local_procs().connections(port) == 2
                and local_procs().connections(one.getsockname()[1]) == 1
            )
        for end in ends:
            end.close()
        eventually(lambda: local_procs().connections(port) == 0)


def test_it_ends_in_the_first_moment_without_a_connection() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client, end = socket.create_connection(("127.0.0.1", port)), server.accept()[0]

        def hang_up() -> None:
            eventually(lambda: said)
            client.close()
            end.close()

        caller = threading.Thread(target=hang_up)
        caller.start()
        began = time.monotonic()
        drain(local_procs(), port, 60, nothing, said.append)
        caller.join()
    assert said == ["waiting for 1 request in flight (at most 60 s)"]
    assert time.monotonic() - began < 30


def test_a_port_that_is_always_busy_takes_all_the_time_there_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            began = time.monotonic()
            drain(local_procs(), port, 0.3, nothing, nothing)
            assert time.monotonic() - began >= 0.3


def test_a_cancel_ends_it() -> None:
    def cancelled() -> None:
        raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(KeyboardInterrupt):
            drain(local_procs(), port, 60, cancelled, nothing)


def test_what_cannot_be_counted_is_not_waited_for() -> None:
    blind = Darwin(netstat="/bin/false")
    with pytest.raises(Unobservable):
        blind.connections(8100)
    assert connections(blind, 8100) is None
    began = time.monotonic()
    drain(blind, 8100, 60, nothing, nothing)
    assert time.monotonic() - began < 30


class Costly:
    """A machine on which each observation is slow, and a port that is busy for a while."""

    max_poll_interval_s = 0.5

    def __init__(self, busy_s: float) -> None:
        self._until = time.monotonic() + busy_s
        self.looks = 0

    def connections(self, port: int) -> int:
        self.looks += 1
        return int(time.monotonic() < self._until)


def test_where_a_look_is_expensive_the_pauses_grow() -> None:
    costly = Costly(busy_s=2.0)
    drain(costly, 8100, 30, nothing, nothing)  # type: ignore[arg-type]
    assert costly.looks < 16 and 2.0 <= time.monotonic() - (costly._until - 2.0) < 2.8
    assert Darwin.max_poll_interval_s == 1.0 and local_procs().max_poll_interval_s == 0.0


def test_the_pauses_grow_up_to_a_limit_and_only_where_there_is_one() -> None:
    grown = list(itertools.islice(pauses(0.05, 1.0), 12))
    assert grown[0] == 0.05 and grown == sorted(grown) and grown[-1] == 1.0
    assert set(itertools.islice(pauses(0.05, 0.0), 12)) == {0.05}
    looks: list[float] = []
    began = time.monotonic()
    look = lambda: looks.append(time.monotonic()) or False  # type: ignore[func-returns-value]  # noqa: E731
    assert wait_for(look, Deadline(1.5), max_interval_s=1.0) is None
    assert len(looks) < 10 and time.monotonic() - began < 1.8
