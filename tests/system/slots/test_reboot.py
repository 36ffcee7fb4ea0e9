"""After a reboot and cron, one command brings back the same models on the same ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.fakeruntime import FakeRuntime
from tests.support.intent import applied, by_port, nothing_to_do, planned, served
from tests.support.ports import free_range
from tests.support.reboots import Machine
from tests.support.studio import Studio, finished
from tests.system.load.test_ten_ports import NAMES


def comes_back(studio: Studio, models: list[str]) -> None:
    """Loaded by hand one after another, with nothing declared."""
    for model, port in zip(models, studio.ports, strict=True):
        studio.must("load", model, port)
    before = served(studio)
    assert [one.entry for _, one in sorted(before.items())] == models

    Machine(studio).reboot()
    for _ in range(3):
        assert finished(studio.start("reconcile", "-q")).exit == 0
    assert studio.assignments() == {} and served(studio) == {}
    rows = planned(studio)
    assert [(rows[port]["wanted"], rows[port]["verdict"]) for port in studio.ports] == [
        (model, "load") for model in models
    ]
    reasons = [rows[port]["reason"] for port in studio.ports]
    assert all("gone since the reboot of" in reason for reason in reasons), reasons

    answer = applied(studio)
    assert answer.exit == 0 and answer.result["changes"] == len(models), answer
    assert all(row["ok"] and row["changed"] for row in by_port(answer.result).values())
    after = served(studio)
    assert {port: one.entry for port, one in after.items()} == {
        port: one.entry for port, one in before.items()
    }
    states = {row["state"] for row in studio.must("status")["ports"]}
    assert states == {"ready"} and studio.must("status")["drift"] == []
    nothing_to_do(studio)


def test_three_models_come_back(
    make_studio: Callable[..., Studio], fake_runtime: FakeRuntime, tmp_path: Any
) -> None:
    studio = make_studio(None, fake_runtime.table(), env={"HOME": str(tmp_path / "home")})
    studio.must("init")
    comes_back(studio, ["amber", "jade", "topaz"])


@pytest.mark.slow
def test_ten_models_come_back(
    make_studio: Callable[..., Studio], light_runtime: dict[str, Any], tmp_path: Any
) -> None:
    env = {"HOME": str(tmp_path / "home")}
    studio = make_studio(None, light_runtime, ports=free_range(10), env=env)
    for seed, name in enumerate(NAMES):
        studio.add(f"tiny/{name.lower()}", model_files(["I", " am", f" {name}", "."], seed=seed))
    studio.must("init")
    comes_back(studio, [name.lower() for name in NAMES])
    answers = [studio.ask(port, "default_model") for port in studio.ports]
    assert answers == [f"I am {name}." for name in NAMES]
