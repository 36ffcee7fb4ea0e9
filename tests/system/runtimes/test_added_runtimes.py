"""A runtime that only a host file describes, and vllm as its source describes it, go through all
verbs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually
from tests.support.survivors import living

HOUSE = """
[runtimes.house]
forms = [["house-server", "serve"]]
default_port = 9000
model = "--weights"
served_name = "--name"
tool_call_parser = "--parser"
wanted = ["--quiet"]
distribution = "house"
"""
BARE_VLLM = "\n[runtimes.vllm]\n"
LINES = {
    "house": (
        "serve --weights {path} --port {port} --host 127.0.0.1 --name slot-{port} --parser "
        "hermes --quiet"
    ),
    "vllm": "serve {path} --port {port} --host 127.0.0.1 --served-model-name slot-{port} "
    "--tool-call-parser hermes "
    "--enable-auto-tool-choice",
}


class Added:
    """A Studio over SSH whose host file adds a runtime, which amber uses."""

    def __init__(self, studio: Studio, name: str, program: FakeRuntime) -> None:
        self.studio, self.name, self.program = studio, name, program
        self.port = studio.ports[0]
        self.file = studio.hosts_dir / "studio.toml"
        self.without = self.file.read_text()
        row = HOUSE if name == "house" else BARE_VLLM
        self.file.write_text(f'{self.without}{row}command = ["{program.program}", "serve"]\n')
        studio.must("init")
        studio.must(
            "set", "amber", f"runtime={name}", "tool_call_parser=hermes", "reasoning_parser=none"
        )

    def loaded(self) -> dict[str, Any]:
        self.studio.must("load", "amber", self.port)
        return self.studio.port_row(self.port)


@pytest.fixture
def add(make_studio: Callable[..., Studio], login: Login, tmp_path: Path) -> Callable[[str], Added]:
    def make(name: str) -> Added:
        own = FakeRuntime(tmp_path / "bin")
        runtime = {
            "name": "mlx-openai-server",
            "command": own.command,
            "startup_timeout_s": 30,
            "grace_s": 10,
        }
        program = FakeRuntime(tmp_path / "more", "house-server" if name == "house" else name)
        return Added(make_studio(login, runtime), name, program)

    return make


@pytest.fixture(params=["house", "vllm"])
def added(request: pytest.FixtureRequest, add: Callable[[str], Added]) -> Added:
    return add(request.param)


@pytest.fixture
def house(add: Callable[[str], Added]) -> Added:
    return add("house")


@pytest.mark.slow
def test_it_is_loaded_shown_and_swapped(added: Added) -> None:
    studio, port = added.studio, added.port
    row = added.loaded()
    assert (row["state"], row["drift"], row["runtime"], row["entry"]) == (
        "ready",
        None,
        added.name,
        "amber",
    )
    assert row["served_model"] == studio.slot(port)
    assert studio.ask(port, studio.slot(port)) == "I am tiny/amber"
    (began,) = added.program.journal("started")
    assert " ".join(began["argv"][1:]) == LINES[added.name].format(
        path=studio.entry("amber")["cache_path"], port=port
    )
    studio.must("load", "jade", port, "--replace")
    assert studio.port_row(port)["runtime"] == "mlx-openai-server"
    assert row["pid"] not in living(studio.folder.parent)


def test_its_death_is_seen_and_reconciled(added: Added) -> None:
    pid = added.loaded()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: added.studio.port_row(added.port)["drift"] == "stale")
    (action,) = added.studio.must("reconcile")["actions"]
    assert (action["entry"], action["applied"]) == ("amber", True)


def test_doctor_looks_at_it_and_a_parser_it_lacks_is_refused(house: Added) -> None:
    packages = house.program.program.parent.parent / "lib" / "python3.11" / "site-packages"
    (packages / "house-2.5.dist-info").mkdir(parents=True)
    rows = house.studio.mlxops("doctor").document["result"]["checks"]
    (told,) = [
        r for r in rows if r["check"] == "runtime" and str(house.program.program) in r["seen"]
    ]
    assert (told["verdict"], "version 2.5" in told["seen"]) == ("ok", True)
    refused = house.studio.mlxops("set", "amber", "tool_call_parser=nobodys")
    assert (refused.exit, "nobodys is not one of hermes, house" in refused.error["message"]) == (
        1,
        True,
    )


@pytest.mark.slow
def test_where_its_row_is_gone_its_server_is_a_stranger_and_left_alone(house: Added) -> None:
    pid = house.loaded()["pid"]
    described = house.file.read_text()
    house.file.write_text(house.without)
    assert house.studio.port_row(house.port)["drift"] == "foreign"
    assert house.studio.mlxops("unload", house.port).error["kind"] == "ForeignListener"
    shown = house.studio.must("show", "amber")
    assert (shown["entry"]["runtime"], shown["sources"]) == ("house", None)
    assert pid in living(house.studio.folder.parent)
    house.file.write_text(described)
    house.studio.must("unload", house.port)


@pytest.mark.slow
def test_what_only_carries_its_name_elsewhere_is_not_touched(house: Added) -> None:
    """The same program on another port, and another program with the same words."""
    pid = house.loaded()["pid"]
    elsewhere = house.studio.ports[2]
    model = ["--weights", house.studio.entry("amber")["cache_path"], "--port"]
    other = subprocess.Popen([str(house.program.program), "serve", *model, str(elsewhere)])
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    mention = subprocess.Popen([*sleep, "house-server", "serve", *model, str(house.port)])
    try:
        eventually(lambda: house.studio.port_row(elsewhere)["drift"] == "orphan")
        assert house.studio.must("unload", house.port)["pid"] == pid
        assert pid not in living(house.studio.folder.parent)
        assert (other.poll(), mention.poll()) == (None, None)
    finally:
        for process in (other, mention):
            process.kill()
            process.wait()
