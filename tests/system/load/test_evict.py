"""Too little memory: a load is refused with the sum, or unloads other ports."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.support.cramped import Cramped
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio, eventually, finished
from tests.support.watching import RegistryWatch, job, refused

HELD_MB = 100
DIES = {"load_s": 1000.0, "die_after_s": 0.3}


@pytest.fixture
def room(known: Studio, fake_runtime: FakeRuntime) -> Cramped:
    """amber and jade serve on the first two ports; topaz fits beside amber, but not beside both."""
    fake_runtime.behaves(child_mb=HELD_MB)
    fake_runtime.behaves("tiny--amber", child_mb=2 * HELD_MB)
    known.edit(
        lambda registry: [
            e.update(args=["--context-length", "256"]) for e in registry["models"].values()
        ]
    )
    machine = Cramped(known)
    for name, port in zip(("amber", "jade"), known.ports, strict=False):
        known.must("load", name, port)
    found = known.must("fit", "topaz")
    held = sum(size for port, size in found["held_bytes"].items() if int(port) in known.ports)
    machine.size(found["need_bytes"] + held - (HELD_MB << 19))
    return machine


def serving(studio: Studio) -> dict[str, int]:
    """Model -> port, by the answers of the models."""
    rows = studio.must("status")["ports"]
    ready = [row["port"] for row in rows if row["state"] == "ready"]
    return {studio.ask(port, studio.slot(port)).rpartition("/")[2]: port for port in ready}


def all_gone(answer: Answer, code: int) -> list[dict[str, Any]]:
    """What a load that failed like this had begun to evict."""
    assert answer.exit == code and answer.stderr.count("Traceback") == 0, answer
    assert all(one["outcome"] in answer.error["message"] for one in answer.error["evicted"])
    return list(answer.error["evicted"])


def gone(answer: Answer, code: int) -> dict[str, Any]:
    (one,) = all_gone(answer, code)
    return one


@pytest.mark.slow
@pytest.mark.usefixtures("room")
def test_a_server_that_no_entry_knows_makes_no_room(known: Studio) -> None:
    first, second, port = known.ports
    known.edit(lambda registry: registry["models"]["jade"].update(port=None, process=None))
    pid = known.port_row(second)["pid"]
    error = refused(known.mlxops("load", "topaz", port), 10, "NotEnoughMemory")
    assert error["unload"] == [first]
    assert error["kept"][str(second)].startswith(
        f"its server, pid {pid}, is not in the registry (stop it with: "
    )
    assert f"port {second} cannot be unloaded now: its server, pid {pid}" in error["message"]
    assert [one["port"] for one in known.must("load", "topaz", port, "--evict")["evicted"]] == [
        first
    ]
    assert known.port_row(second)["pid"] == pid


@pytest.mark.usefixtures("room")
def test_what_does_not_fit_is_refused_with_its_sum_and_evict_makes_room(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second, port = known.ports
    error = refused(known.mlxops("load", "topaz", port), 10, "NotEnoughMemory")
    assert error["unload"] == [second] and error["need_bytes"] > error["available_bytes"]
    parts = [error[part] for part in ("weights_bytes", "kv_bytes", "overhead_bytes")]
    assert sum(parts) == error["need_bytes"] and error["context_tokens"] == 256
    assert f"mlxops unload {second}" in error["hint"] and "--evict" in error["hint"]

    asked = known.mlxops("fit", "topaz", port)
    assert refused(asked, 10, "NotEnoughMemory")["unload"] == [second]
    assert (asked.document["result"]["fits"], asked.document["result"]["unload"]) == (
        False,
        [second],
    )
    dry = known.mlxops("load", "topaz", port, "--dry-run")
    assert refused(dry, 10, "NotEnoughMemory") and not dry.document["result"]["memory"]["fits"]
    shown = finished(known.start("load", "topaz", port, "--dry-run", "--evict"))
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert shown.exit == 0 and [line[:5] for line in lines[:2]] == [
        ["would", "evict", "jade", "on", f"{second}:"],
        ["would", "start", "topaz", "on", f"{port}:"],
    ]
    assert ["KV", "cache"] in [
        line[:2] for line in lines
    ] and f"fit after unloading {second}" in shown.stdout
    assert fake_runtime.journal("signal") == [] and len(fake_runtime.journal("started")) == 2

    with RegistryWatch(known) as watch:
        loaded = known.must("load", "topaz", port, "--evict")
    assert [(one["port"], one["entry"]) for one in loaded["evicted"]] == [(second, "jade")]
    assert watch.faults == [] and watch.seen[1:] == [
        {"amber": first},
        {"amber": first, "topaz": port},
    ]
    assert serving(known) == {"amber": first, "topaz": port}
    assert known.must("reconcile") == {"actions": [], "drift": [], "broken": []}
    # Who asked for --evict has unloaded it: nothing has to bring it back.
    assert "wanted" not in known.entry("jade") and known.entry("topaz")["wanted"] == port


@pytest.mark.slow
@pytest.mark.usefixtures("room", "ctrl_c")
def test_a_load_that_fails_or_is_cancelled_gives_the_room_back(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    _, second, port = known.ports
    before = known.assignments()
    fake_runtime.behaves("tiny--topaz", load_s=60.0)
    loading = known.start("--json", "load", "topaz", port, "--evict")
    job(known, port, "wait")
    row = known.port_row(second)
    assert (row["state"], row["drift"]) == ("free", None) and "to make room for" in row["reason"]
    loading.send_signal(signal.SIGINT)
    assert gone(finished(loading), 130)["outcome"] == "jade serves again"
    assert serving(known) == before == known.assignments()

    fake_runtime.behaves("tiny--topaz", **DIES)
    assert gone(known.mlxops("load", "topaz", port, "--evict"), 8)["outcome"] == "jade serves again"
    assert serving(known) == before == known.assignments()

    one = gone(known.mlxops("load", "topaz", port, "--evict", "--no-rollback"), 8)
    assert one["again"] == f"mlxops load jade {second}" and one["again"] in one["outcome"]
    row = known.port_row(second)
    assert (row["drift"], row["wanted"], row["next"]) == ("lost", "jade", f"mlxops apply {second}")
    assert known.assignments() == {"amber": known.ports[0]}


@pytest.mark.slow
@pytest.mark.usefixtures("room")
def test_after_a_kill_status_tells_what_was_evicted_and_how_to_load_it_again(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    _, second, port = known.ports
    fake_runtime.behaves("tiny--topaz", load_s=60.0)
    loading = known.start("--json", "load", "topaz", port, "--evict")
    os.kill(job(known, port, "wait")["pid"], signal.SIGKILL)
    assert finished(loading).exit == 3
    row = known.port_row(second)
    assert row["state"] == "free" and f"mlxops load jade {second}" in row["reason"]
    known.must("unload", port, "--grace", 1)
    known.must("load", "jade", second)
    assert "mlxops load" not in (known.port_row(second)["reason"] or "")


@pytest.mark.slow
def test_cancelled_half_way_brings_back_what_was_stopped_and_leaves_the_rest(
    known: Studio, fake_runtime: FakeRuntime, room: Cramped
) -> None:
    first, _, port = known.ports
    room.size(known.mlxops("fit", "topaz").document["result"]["need_bytes"] + (HELD_MB << 19))
    fake_runtime.behaves("tiny--amber", child_mb=2 * HELD_MB, ignore=["TERM"])
    amber, jade = (known.entry(name)["process"] for name in ("amber", "jade"))
    loading = known.start("--json", "load", "topaz", port, "--evict", "--grace", 60)
    agent = job(known, first, "stop")["pid"]
    eventually(lambda: fake_runtime.journal("signal"))
    # The agent hears of it first, and goes on once amber has ended.
    os.kill(agent, signal.SIGINT)
    os.kill(amber["pid"], signal.SIGINT)
    assert gone(finished(loading), 130)["outcome"] == "amber serves again"
    assert known.entry("jade")["process"] == jade and set(serving(known)) == {"amber", "jade"}


@pytest.mark.slow
def test_one_that_cannot_be_stopped_brings_the_others_back(
    known: Studio, fake_runtime: FakeRuntime, room: Cramped
) -> None:
    """Both must be unloaded. When jade's server frees its port, another process takes it: that does
    not prove a stop."""
    first, second, port = known.ports
    room.size(known.mlxops("fit", "topaz").document["result"]["need_bytes"] + (HELD_MB << 19))
    assert known.must("load", "topaz", port, "--dry-run", "--evict")["memory"]["unload"] == [
        first,
        second,
    ]
    fake_runtime.behaves("tiny--jade", child_mb=HELD_MB, linger_s=1.0)
    with taking_over(second):
        evicted = all_gone(known.mlxops("load", "topaz", port, "--evict"), 1)
        half_way = f"the state of jade is unknown; check with: mlxops status {second}"
        assert [one["outcome"] for one in evicted] == ["amber serves again", half_way]
        assert known.assignments() == {"amber": first, "jade": second}
        assert known.ask(first, known.slot(first)) == "I am tiny/amber"
    assert known.port_row(port)["state"] == "free"


@contextmanager
def taking_over(port: int) -> Iterator[None]:
    """A foreign process that listens on the port as soon as it is free."""
    stranger, over = socket.socket(), threading.Event()
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def wait_for_it() -> None:
        while not over.wait(0.001):
            with suppress(OSError):
                stranger.bind(("127.0.0.1", port))
                stranger.listen()
                return

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        stranger.close()


@pytest.mark.slow
def test_two_loads_that_would_fill_the_same_room(known: Studio, fake_runtime: FakeRuntime) -> None:
    """The second load counts what the first one will use, though it uses nothing yet, and does not
    evict it."""
    first, _, port = known.ports
    machine = Cramped(known)
    need = known.must("fit", "topaz")["need_bytes"]
    machine.size(need + need // 2)
    fake_runtime.behaves("tiny--amber", load_s=5.0)
    loading = known.start("--json", "load", "amber", first)
    job(known, first, "wait")
    error = refused(known.mlxops("load", "topaz", port, "--evict"), 10, "NotEnoughMemory")
    assert set(error["promised_bytes"]) == {str(first)} and error["unload"] == []
    assert f"once port {first} can be unloaded" in error["hint"]
    assert finished(loading).exit == 0 and known.assignments() == {"amber": first}
