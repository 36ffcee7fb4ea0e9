"""A load reserves its entry and the one that may have to come back: a request for either names the
holder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.stopping import Swap, stopping
from tests.support.studio import Studio, finished
from tests.support.watching import RegistryWatch, job, refused


@pytest.fixture
def swap(known: Studio, fake_runtime: FakeRuntime) -> Iterator[Swap]:
    with stopping(known, fake_runtime) as swap:
        yield swap


def told(error: dict[str, Any], held: dict[str, Any], entry: str) -> None:
    """The error names the holder, its machine, time, reason and port."""
    assert (error["entry"], error["port"]) == (entry, held["port"])
    words = [held[key] for key in ("port", "who", "from", "since", "why")]
    assert all(str(word) in error["message"] for word in [entry, *words])
    assert error["hint"] == "mlxops jobs --follow {0}, or mlxops cancel {0}".format(held["job"])


@pytest.mark.slow
def test_who_loads_the_same_model_elsewhere_stops_nothing(known: Studio, swap: Swap) -> None:
    other = known.ports[1]
    known.must("load", "topaz", other)
    pid = known.port_row(other)["pid"]
    with RegistryWatch(known) as watch:
        told(
            refused(known.mlxops("load", "amber", other, "--replace"), 6, "Locked"),
            swap.held,
            "amber",
        )
        assert swap.goes_on().exit == 0
    row = known.port_row(other)
    assert (row["entry"], row["state"], row["pid"]) == ("topaz", "ready", pid)
    assert watch.faults == [] and known.assignments() == {"amber": swap.port, "topaz": other}


@pytest.mark.slow
def test_the_model_that_may_have_to_come_back_is_nobody_elses_meanwhile(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port, other = known.ports[:2]
    known.must("load", "jade", port)
    fake_runtime.behaves("tiny--amber", load_s=300, child=False)
    load = known.start("--json", "load", "amber", port, "--replace")
    held = job(known, port, "wait")
    assert known.assignments() == {"amber": port}
    told(refused(known.mlxops("load", "jade", other), 6, "Locked"), held, "jade")
    known.must("cancel", port)
    assert "jade serves again" in refused(finished(load), 130, "Interrupted")["message"]
    assert known.assignments() == {"jade": port} and known.ask(port) == "I am tiny/jade"


@pytest.mark.slow
def test_nobody_changes_an_entry_that_is_being_loaded(known: Studio, swap: Swap) -> None:
    before = known.entry("amber")
    for words in (
        ["set", "amber", "args=--queue-size 7"],
        ["remove", "amber"],
        ["set", "jade", "format=x"],
    ):
        told(refused(known.mlxops(*words), 6, "Locked"), swap.held, str(words[1]))
    planned = known.mlxops("register", "amber", "tiny/amber", "--slot", swap.port)
    told(refused(planned, 6, "Locked"), swap.held, "amber")
    kept = known.must("register", "amber", "tiny/amber")["actions"]
    assert [step["action"] for step in kept] == ["keep"] and known.entry("amber") == before
    assert swap.goes_on().exit == 0
    assert known.must("set", "amber", "args=--queue-size 7")["changed"]


@pytest.mark.slow
def test_init_leaves_an_entry_to_the_load_that_works_on_it(known: Studio, swap: Swap) -> None:
    known.edit(lambda registry: registry["models"]["amber"].update(cache_path="/moved"))
    steps = {step["entry"]: step for step in known.must("init")["actions"]}
    assert not steps["amber"]["applied"] and f"on port {swap.port}" in steps["amber"]["reason"]
    assert known.entry("amber")["cache_path"] == "/moved"


@pytest.mark.slow
def test_a_dead_load_keeps_no_entry(known: Studio, swap: Swap) -> None:
    swap.killed()
    assert known.must("set", "amber", "args=--queue-size 7")["changed"]
    assert known.must("load", "amber", known.ports[1])["entry"] == "amber"
    assert known.ask(known.ports[1]) == "I am tiny/amber"
