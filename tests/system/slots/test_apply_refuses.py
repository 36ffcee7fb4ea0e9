"""apply refuses before it touches anything: too little memory or disk, or a download that the user
has not agreed to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.agent.errors import NeedsConsent, NotEnoughMemory
from mlxops.agent.memory.fit import format_gib
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.applying import apply, plan, verdicts
from tests.support.asking import ask, refusal, rows
from tests.support.cramped import Cramped
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.padding import padding
from tests.support.studio import Studio

ONYX, AMBER = "tiny/onyx", "tiny/amber"
BYTES = 2 << 20


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with one model, which the Studio does not have."""
    files = {**model_files([" ONYX"], pad_mb=1), "padding.safetensors": padding(BYTES)}
    write_cache(tmp_path / "remote", ONYX, files)
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def declared(one: Studio, hub: FakeHub) -> Studio:
    one.describe(hub_python=sys.executable)
    one.declare(dict(zip(one.ports, (ONYX, AMBER), strict=False)))
    return one


def test_large_downloads_are_asked_about_before_anything_is_done(declared: Studio) -> None:
    planned = plan(declared)
    assert verdicts(planned) == ["download", "load", "leave"]
    size = planned["rows"][0]["download_bytes"]
    assert size > BYTES and declared.hf_home.is_dir()
    error = refusal(declared, "apply", ask_above_bytes=BYTES)
    assert isinstance(error, NeedsConsent) and error.fields["missing_bytes"] == size
    assert [row["state"] for row in rows(declared).values()] == ["free"] * 3
    done = apply(declared, ask_above_bytes=size)
    assert [row["ok"] for row in done["rows"]] == [True] * 3
    assert declared.ask(declared.ports[0]) == "I am tiny/onyx"


@pytest.mark.slow
def test_a_hub_that_does_not_answer_blocks_only_what_must_be_downloaded(
    declared: Studio, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(declared)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    asked = len(hub.seen)
    assert verdicts(plan(declared)) == ["same", "same", "leave"]
    assert len(hub.seen) == asked
    declared.declare(dict(zip(declared.ports, (ONYX, AMBER, "tiny/far"), strict=False)))
    done = apply(declared)
    assert verdicts(done) == ["same", "same", "blocked"]
    row = done["rows"][2]
    assert not row["ok"] and row["kind"] == row["error"]["kind"] and row["hint"]


@pytest.fixture
def small(one: Studio) -> tuple[Studio, int]:
    """A machine with memory for one of the declared models and a half; the need of one."""
    one.edit(
        lambda registry: [
            entry.update(args=["--context-length", "256"]) for entry in registry["models"].values()
        ]
    )
    need = int(ask(one, "fit", model="amber")["need_bytes"])
    Cramped(one).size(need * 3 // 2)
    return one, need


def test_a_plan_that_does_not_fit_as_a_whole_touches_nothing(
    small: tuple[Studio, int], fake_runtime: FakeRuntime
) -> None:
    studio, need = small
    first, second, _ = studio.ports
    studio.declare({first: AMBER, second: "tiny/jade"})
    planned = plan(studio)
    assert verdicts(planned) == ["load", "load", "leave"] and not planned["memory"]["fits"]
    before = studio.registry_path.read_bytes()
    error = refusal(studio, "apply")
    assert isinstance(error, NotEnoughMemory) and error.exit_code == 10
    for port in (first, second):
        assert f"port {port}: {format_gib(need)}" in error.message
    assert error.fields["rows"] == planned["rows"]
    assert fake_runtime.journal("started") == []
    assert studio.registry_path.read_bytes() == before
    # One alone fits.
    assert apply(studio, ports=[first])["rows"][0]["ok"]


@pytest.mark.slow
def test_room_is_made_only_if_asked_for(
    small: tuple[Studio, int], fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--amber", child_mb=400)
    studio, _ = small
    first, second, _ = studio.ports
    studio.declare({first: AMBER})
    apply(studio)
    studio.declare({second: "tiny/jade"})
    error = refusal(studio, "apply", ports=[second], to="declared")
    assert isinstance(error, NotEnoughMemory)
    assert rows(studio)[first]["state"] == "ready"
    done = apply(studio, ports=[second], to="declared", evict=True)
    assert {row["port"]: row["verdict"] for row in done["rows"]} == {
        first: "unload",
        second: "load",
    }
    assert all(row["ok"] for row in done["rows"])
    assert [row["entry"] for row in rows(studio).values()] == [None, "jade", None]
