"""A swap changes who answers under the slot's one name, and the registry is true at every moment of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fakeruntime import FakeRuntime
from studio import Studio
from survivors import living
from watching import RegistryWatch

from mlxops.demo.loopback import Login


@pytest.fixture(params=["light_runtime", pytest.param("openai_runtime", marks=pytest.mark.openai_server)])
def real(request: pytest.FixtureRequest, login: Login, make_studio: Callable[..., Studio]) -> Studio:
    """A Studio with each real server there is."""
    runtime: dict[str, Any] = request.getfixturevalue(request.param)
    studio = make_studio(login, runtime)
    studio.must("init")
    return studio


def test_another_model_answers_to_the_same_name(real: Studio) -> None:
    port = real.ports[0]
    first = real.must("load", "amber", port)
    assert first["previous"] is None
    name, before = first["served_model"], real.port_row(port)
    assert real.ask(port, name) == "I am AMBER."
    with RegistryWatch(real) as watch:
        second = real.must("load", "jade", port, "--replace")
    assert second["served_model"] == name and second["previous"] == "amber"
    assert real.ask(port, name) == "I am JADE."
    assert watch.faults == [] and watch.looks > 100
    assert watch.seen == [{"amber": port}, {"jade": port}]
    after = real.port_row(port)
    assert (after["state"], after["drift"], after["entry"], after["served_model"]) == ("ready", None, "jade", name)
    assert after["pid"] != before["pid"] and before["pid"] not in living(real.folder)


def test_mlx_openai_server_s_name_is_the_slot_s(known: Studio) -> None:
    port = known.ports[0]
    assert known.must("load", "amber", port)["served_model"] == known.slot(port)
    assert known.ask(port, known.slot(port)) == "I am tiny/amber"


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


def test_three_swaps_in_a_row_leave_one_server_and_one_assignment(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    with RegistryWatch(known) as watch:
        for name in ("amber", "jade", "topaz", "amber"):
            known.must("load", name, port, "--replace")
    assert watch.faults == []
    assert watch.seen == [{}, *({name: port} for name in ("amber", "jade", "topaz", "amber"))]
    started = {record["pid"] for record in fake_runtime.journal("started")}
    assert len(started) == 4 and started & living(known.folder).keys() == {known.port_row(port)["pid"]}


def test_loading_what_serves_already_changes_nothing(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    before = known.registry_path.read_bytes()
    again = known.must("load", "amber", port)
    assert (again["state"], again["changed"]) == ("ready", False)
    assert len(fake_runtime.journal("started")) == 1 and known.registry_path.read_bytes() == before
