"""Waiting for the moment in which nobody talks to a port. Also for Python 3.9, with the checkout on PYTHONPATH."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from mlxops.agent.drain import connections, drain
from mlxops.agent.procs import Unseen, here
from mlxops.agent.procs.darwin import Darwin
from tests.support.procs_actors import eventually


def nothing(*_: Any) -> None:
    return


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_only_the_connections_to_this_very_port_count(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server, socket.create_server((address, 0), family=family):
        port = server.getsockname()[1]
        assert here().connections(port) == 0
        with socket.create_connection((address, port)) as one, socket.create_connection((address, port)):
            ends = [server.accept()[0], server.accept()[0]]
            assert here().connections(port) == 2 and here().connections(one.getsockname()[1]) == 1
        for end in ends:
            end.close()
        eventually(lambda: here().connections(port) == 0)


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
        drain(here(), port, 60, nothing, said.append)
        caller.join()
    assert said == ["1 request in flight, waiting for a moment without (60 s at most)"]
    assert time.monotonic() - began < 30


def test_a_port_that_is_always_busy_takes_all_the_time_there_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            began = time.monotonic()
            drain(here(), port, 0.3, nothing, nothing)
            assert time.monotonic() - began >= 0.3


def test_a_cancel_ends_it() -> None:
    def cancelled() -> None:
        raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(KeyboardInterrupt):
            drain(here(), port, 60, cancelled, nothing)


def test_what_cannot_be_counted_is_not_waited_for() -> None:
    blind = Darwin(netstat="/bin/false")
    with pytest.raises(Unseen):
        blind.connections(8100)
    assert connections(blind, 8100) is None
    began = time.monotonic()
    drain(blind, 8100, 60, nothing, nothing)
    assert time.monotonic() - began < 30
