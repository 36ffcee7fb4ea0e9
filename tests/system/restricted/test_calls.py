"""What a restricted key can choose in a call, the cost of a call, and the leftovers of unused
keys."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import LoginRefused, MlxopsError
from tests.support.fakeruntime import FakeRuntime
from tests.support.restricted import Restricted
from tests.support.studio import Answer

pytestmark = pytest.mark.openssh


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restricted]:
    folder = tmp_path_factory.mktemp("restricted")
    door = Restricted(
        folder, {"name": "mlx-openai-server", "command": FakeRuntime(folder / "bin").command}
    )
    with door.server:
        door.authorize("status,reconcile,unload")
        door.studio.registry_path.write_text(json.dumps({"version": 1, "models": {}}))
        yield door


def test_deep_is_not_status_and_grace_is_not_the_key_s(door: Restricted) -> None:
    for verb, args in (
        ("status", {"deep": True}),
        ("unload", {"port": door.studio.ports[0], "grace_s": 1e-9}),
        ("reconcile", {"restart": True}),
    ):
        with pytest.raises(LoginRefused):
            door.call(verb, args)
    assert door.call("unload", {"port": door.studio.ports[0]})["state"] == "free"
    assert "restarts" not in door.call("reconcile", {"restart": False})


def test_a_state_folder_that_others_can_write_is_not_used(door: Restricted) -> None:
    above = door.state.parent
    mode = above.stat().st_mode & 0o7777
    above.chmod(0o777)
    try:
        seen = door.mlxops("status", "--json")
        assert seen.exit == 0 and "can be written by others" in seen.stderr
    finally:
        above.chmod(mode)


def test_a_host_file_that_changed_where_it_does_not_matter_is_no_news(door: Restricted) -> None:
    text = (door.cron_hosts / "studio.toml").read_text()
    (door.cron_hosts / "studio.toml").write_text(
        text.replace("[runtime]", "[runtime]\ngrace_s = 7")
    )
    try:
        assert door.mlxops("reconcile", "-q") == Answer(0, "", "")
    finally:
        (door.cron_hosts / "studio.toml").write_text(text)


@pytest.mark.parametrize("grace", [1e308, 1e-9, -1, "soon", None])
def test_a_call_with_arguments_of_its_own_making_ends_at_once(door: Restricted, grace: Any) -> None:
    args = {"ports": [door.studio.ports[0]] * 100_000, "grace_s": grace}
    began = time.monotonic()
    with pytest.raises(MlxopsError) as refused:
        door.call("status", args)
    assert refused.value.exit_code in (2, 4) and "trace" not in refused.value.fields
    assert time.monotonic() - began < 10


def test_what_no_key_uses_any_more_is_removed(door: Restricted) -> None:
    home = door.state / "authorized"
    kept = Path(door.authorize("status,reconcile,unload")["folder"]).name
    old, names = time.time() - 90 * 86400, [f"{number:064x}" for number in range(15)]
    for number, name in enumerate(names):
        (home / name).mkdir(0o700)
        os.utime(home / name, (old + number, old + number))
    door.studio.must("authorize", "--verbs", "list")
    left = {path.name for path in home.iterdir()}
    assert kept in left and left & {*names} == {*names[-9:]}, left
    for path in home.iterdir():
        if path.name != kept:
            shutil.rmtree(path)
