"""Ten models on ten ports of one host, with the real mlx_lm.server behind the real sshd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlxops.demo.loopback import Login
from mlxops.demo.tinymodel import model_files
from tests.support.ports import free_range, is_free
from tests.support.studio import Studio
from tests.support.survivors import living

pytestmark = pytest.mark.slow

NAMES = [
    "AMBER",
    "BERYL",
    "CORAL",
    "DIAMOND",
    "EMERALD",
    "FLINT",
    "GARNET",
    "HEMATITE",
    "IVORY",
    "JADE",
]


@pytest.fixture
def ten(
    openssh_login: Login, make_studio: Callable[..., Studio], light_runtime: dict[str, Any]
) -> Studio:
    studio = make_studio(openssh_login, light_runtime, ports=free_range(10))
    for seed, name in enumerate(NAMES):
        studio.add(f"tiny/{name.lower()}", model_files(["I", " am", f" {name}", "."], seed=seed))
    studio.must("init")
    return studio


@pytest.mark.openssh
def test_ten_models_on_ten_ports_and_nothing_left_after_unload_all(ten: Studio) -> None:
    for name, port in zip(NAMES, ten.ports, strict=True):
        assert ten.must("load", name.lower(), port)["state"] == "ready"
    rows = ten.must("status")["ports"]
    assert [(row["port"], row["entry"], row["state"], row["drift"]) for row in rows] == [
        (port, name.lower(), "ready", None) for name, port in zip(NAMES, ten.ports, strict=True)
    ]
    assert [ten.ask(port, "default_model") for port in ten.ports] == [
        f"I am {name}." for name in NAMES
    ]
    assert all(row["rss_bytes"] and row["uptime_s"] is not None for row in rows)

    ended = ten.must("unload-all")["ports"]
    assert [(row["port"], row["ok"], row["changed"]) for row in ended] == [
        (port, True, True) for port in ten.ports
    ]
    pids = {row["pid"] for row in rows}
    assert not [pid for pid in living(ten.folder) if pid in pids]
    assert all(map(is_free, ten.ports))
    assert ten.assignments() == {}
    assert not [name for name, entry in ten.registry()["models"].items() if "process" in entry]
    assert {row["state"] for row in ten.must("status")["ports"]} == {"free"}
