"""A swap changes the model behind the slot's name, and the registry is right at every moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlxops.demo.loopback import Login
from mlxops.demo.tinymodel import model_files
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio
from tests.support.survivors import living
from tests.support.watching import RegistryWatch
from tests.system.verify.test_verify import checks, row_of

THINKING = ["<think>", "let", " me", " see", "</think>", "I", " am", " PEARL", "."]


@pytest.fixture
def light(
    light_runtime: dict[str, Any], login: Login, make_studio: Callable[..., Studio]
) -> Studio:
    studio = make_studio(login, light_runtime)
    studio.must("init")
    return studio


def test_a_light_server_swapped_and_verified(light: Studio) -> None:
    port = light.ports[0]
    proof = swapped(light, "jade")["proof"]
    assert proof["served_model"] == "default_model" and {c["ok"] for c in proof["checks"]} == {True}
    row = row_of(light, exit=0)
    assert (row["port"], row["entry"], row["state"], row["ok"]) == (port, "jade", "ready", True)
    assert (
        row["first_token_ms"] > 0
        and row["tokens_per_s"] > 0
        and row["served_model"] == "default_model"
    )
    assert (
        checks(row)["same answer"] and checks(row)["raw tags"] and "other names" not in checks(row)
    )
    light.edit(lambda registry: registry["models"]["jade"].update(args=["--max-tokens", "64"]))
    changed = row_of(light, port, exit=11)
    assert (
        checks(changed)["registry"] is False and "--max-tokens 64" in changed["checks"][0]["detail"]
    )
    assert light.port_row(port)["drift"] == "mismatch"


@pytest.mark.slow
@pytest.mark.openai_server
def test_a_server_swapped_to_a_model_that_thinks_and_verified(
    login: Login, openai_runtime: dict[str, Any], make_studio: Callable[..., Studio]
) -> None:
    """With the parser, clients get reasoning and content apart, plain and streamed."""
    studio = make_studio(login, openai_runtime)
    studio.add("tiny/pearl", model_files(THINKING, seed=9))
    studio.must("init")
    studio.must("set", "pearl", "tool_call_parser=qwen3", "reasoning_parser=qwen3")
    swapped(studio, "pearl")
    row = row_of(studio, studio.ports[0], exit=0)
    assert row["served_model"] == studio.slot(studio.ports[0]) and checks(row)["other names"]
    assert checks(row)["reasoning"] and checks(row)["same answer"] and checks(row)["same tool call"]
    assert "separate from the answer, 10 characters" in str(row)


def swapped(real: Studio, second: str) -> dict[str, Any]:
    """The result of a load over amber: another model answers to the same name."""
    port = real.ports[0]
    first = real.must("load", "amber", port)
    assert first["previous"] is None
    name, before = first["served_model"], real.port_row(port)
    assert real.ask(port, name) == "I am AMBER."
    with RegistryWatch(real) as watch:
        loaded = real.must("load", second, port, "--replace")
    assert loaded["served_model"] == name and loaded["previous"] == "amber"
    assert real.ask(port, name) == f"I am {second.upper()}."
    assert watch.faults == [] and watch.looks > 100
    assert watch.seen == [{"amber": port}, {second: port}]
    after = real.port_row(port)
    assert (after["state"], after["drift"], after["entry"], after["served_model"]) == (
        "ready",
        None,
        second,
        name,
    )
    assert after["pid"] != before["pid"] and before["pid"] not in living(real.folder)
    return loaded


def test_mlx_openai_server_s_name_is_the_slot_s(known: Studio) -> None:
    port = known.ports[0]
    assert known.must("load", "amber", port)["served_model"] == known.slot(port)
    assert known.ask(port, known.slot(port)) == "I am tiny/amber"


@pytest.mark.slow
def test_nobody_hears_the_old_model_after_the_new_one(known: Studio) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    swap = known.start("--json", "load", "jade", port, "--replace")
    heard = []
    while swap.poll() is None or heard[-1:] != ["I am tiny/jade"]:
        try:
            heard.append(known.ask(port, known.slot(port)))
        except OSError:
            continue
    swap.communicate()
    assert swap.returncode == 0
    assert heard == sorted(heard) and set(heard) == {"I am tiny/amber", "I am tiny/jade"}


@pytest.mark.slow
def test_three_swaps_in_a_row_leave_one_server_and_one_assignment(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    with RegistryWatch(known) as watch:
        for name in ("amber", "jade", "topaz", "amber"):
            known.must("load", name, port, "--replace")
    assert watch.faults == []
    assert watch.seen == [{}, *({name: port} for name in ("amber", "jade", "topaz", "amber"))]
    started = {record["pid"] for record in fake_runtime.journal("started")}
    assert len(started) == 4 and started & living(known.folder).keys() == {
        known.port_row(port)["pid"]
    }


@pytest.mark.slow
def test_loading_what_serves_already_changes_nothing(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    before = known.registry_path.read_bytes()
    again = known.must("load", "amber", port)
    assert (again["state"], again["changed"]) == ("ready", False)
    assert len(fake_runtime.journal("started")) == 1 and known.registry_path.read_bytes() == before
