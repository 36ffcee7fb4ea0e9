"""A recorded process is identified by pid and start time together, whatever else the record
says."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

import pytest

from mlxops.agent.ports.evidence import NO_ANSWER, PortEvidence
from mlxops.agent.ports.observe import find_servers, observe, orphan_workers, recorded_process
from mlxops.agent.procs import Listener, Process
from mlxops.agent.registry.entries import EMPTY, REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES
from mlxops.agent.site import Site

SITE = Site.from_wire(
    {
        "name": "s",
        "hf_home": "/",
        "registry": "/r",
        "ports": [],
        "bind": "127.0.0.1",
        "state_dir": "/s",
        "runtime": {"name": "mlx_lm.server", "grace_s": 1},
    }
)
WORKER = ("python", "-c", "from multiprocessing.spawn import spawn_main")


def process(pid: int, zombie: bool = False) -> Process:
    return Process(pid, 1, pid, os.geteuid(), f"start of {pid}", None, None, WORKER, zombie)


TABLE = {10: process(10), 11: process(11), 12: process(12, zombie=True)}


def entry(**record: Any) -> Entry:
    return Entry("amber", {**REQUIRED, "port": 8100, "process": record})


def member(pid: Any, **more: Any) -> dict[str, Any]:
    return {"pid": pid, "start_time": f"start of {pid}", **more}


@pytest.mark.parametrize(
    ("record", "alive"),
    [
        (member(10), True),
        (member(10, start_time="of the one before"), False),
        ({"pid": 10}, False),
        (member(12), False),
        (member(13), False),
        ({}, False),
    ],
)
def test_the_recorded_process_is_the_one_of_that_start(record: dict[str, Any], alive: bool) -> None:
    assert (recorded_process(TABLE, entry(**record)) is not None) is alive


@pytest.mark.parametrize(
    "other",
    [member(11, start_time="of the one before"), {"pid": 11}, member(12), member([]), {}, 7, None],
)
def test_what_a_dead_server_left_is_known_by_its_start_too(other: Any) -> None:
    found = orphan_workers(
        TABLE, entry(pid=9, start_time="x", family=[other, member(11)]), RUNTIMES
    )
    assert found == (TABLE[11],)
    assert orphan_workers(TABLE, entry(pid=9, start_time="x", family=[other]), RUNTIMES) == ()


def test_while_the_server_lives_it_has_left_nothing() -> None:
    assert orphan_workers(TABLE, entry(**member(10), family=[member(11)]), RUNTIMES) == ()


class Blinking:
    """Finds no listener at the first look, and the given ones at the next."""

    def __init__(self, *then: Listener) -> None:
        self._looks = iter([(), then])

    def processes(self) -> dict[int, Process]:
        return TABLE

    def listeners(self, ports: Iterable[int]) -> tuple[Listener, ...]:
        return next(self._looks)


@pytest.mark.parametrize("seen", [True, False])
def test_who_answers_listens_though_nobody_did_when_we_looked(seen: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        late = Listener(port, "127.0.0.1", 10, 501)
        eyes: Any = Blinking(*([late] if seen else []))
        found = observe(eyes, EMPTY, [port], SITE, lambda _: None)[port]
    assert found.listeners == ((late,) if seen else (Listener(port, "", None, None),))


def test_ranks_on_record_that_cannot_be_made_out_are_unknown_and_not_gone() -> None:
    odd = EMPTY.put(entry(pid=9, start_time="x", ranks=[{"host": "studio2", "pid": "77"}]))
    eyes: Any = Blinking()
    found = observe(eyes, odd, [8100], SITE, lambda _: None)[8100]
    assert (
        found.unknown == ("process.ranks of amber is not a list of ranks",)
        and not found.proven_idle
    )


@pytest.mark.parametrize(
    ("words", "proven"), [((), False), (("--por", "9001"), False), (("--port", "8080"), True)]
)
def test_a_lone_server_that_does_not_listen_is_the_port_s_only_where_it_says_so(
    words: Any, proven: bool
) -> None:
    table = {10: process(10)._replace(argv=("mlx_lm.server", *words))}
    (server,) = find_servers(table, RUNTIMES)[8080]
    seen = PortEvidence(8080, (), (server,), None, (), NO_ANSWER, None, ())
    assert seen.proven == ((server,) if proven else ()) and not seen.proven_idle
