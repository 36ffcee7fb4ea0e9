"""A plan that is carried out by agents of their own, from one that was not started by a stub. Runs
on Python 3.9 too."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.ops.apply import apply, plan
from mlxops.agent.ops.init import init
from mlxops.agent.procs import local_procs
from mlxops.agent.registry.store import Store
from mlxops.agent.site import Site
from mlxops.agent.wire.client import ClientLink
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.survivors import kill_all

WHO = {"who": "alice", "from": "mini"}
NAMES = ("amber", "jade")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Two ports, for which two models on the host are declared."""
    fake = FakeRuntime(tmp_path / "bin")
    hub = tmp_path / "hf" / "hub"
    for seed, name in enumerate(NAMES):
        write_cache(hub, "tiny/" + name, model_files([name], seed=seed))
    ports = free_range(2)
    slots = {
        str(ports[at]): {"name": f"slot-{at}", "model": "tiny/" + NAMES[at]} for at in range(2)
    }
    yield {
        "name": "studio",
        "hf_home": str(tmp_path / "hf"),
        "registry": str(hub / "registry.json"),
        "bind": "127.0.0.1",
        "ports": ports,
        "state_dir": str(tmp_path / "state"),
        "runtime": {**fake.table(), "env": {}},
        "slots": slots,
    }
    kill_all(tmp_path)


def perform(site: dict[str, Any], verb: Any, **args: Any) -> dict[str, Any]:
    with open(os.devnull, "wb") as out:
        client = ClientLink(out.fileno(), io.BytesIO())
        store, it = Store(site["registry"], WHO), Site.from_wire(site)
        result: dict[str, Any] = verb(Context(it, store, local_procs(), client, WHO), args)
    return result


def test_each_step_is_recorded_as_its_users(site: dict[str, Any]) -> None:
    perform(site, init)
    done = perform(site, apply)
    assert [(row["ok"], row["error"]) for row in done["rows"]] == [(True, None)] * 2
    models = json.loads(Path(site["registry"]).read_text())["models"]
    assert [models[name]["port"] for name in NAMES] == site["ports"]
    by = {entry["process"]["launched_by"] for entry in models.values()}
    assert by == {"alice@mini"}
    assert [row["verdict"] for row in perform(site, plan)["rows"]] == ["same", "same"]


def test_without_a_place_for_its_logs_a_load_is_refused_and_the_host_stays(
    site: dict[str, Any],
) -> None:
    perform(site, init)
    broken = {**site, "state_dir": site["hf_home"] + "/file"}
    Path(broken["state_dir"]).write_text("")
    rows = perform(broken, apply)["rows"]
    assert [(row["verdict"], row["ok"], row["changed"]) for row in rows] == [
        ("blocked", False, False)
    ] * 2
