"""A repository whose own code would have to run is refused before it is downloaded."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import write_cache
from tests.support import layouts
from tests.support.fakehub import FakeHub
from tests.support.studio import Studio

REPO = "lab/Kimi-K2-4bit"
AUTO_MAP = {"AutoConfig": "configuration_kimi.KimiConfig"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    kimi = layouts.as_kimi(layouts.saying("KIMI"))
    files = layouts.changed(kimi, "config.json", auto_map=AUTO_MAP)
    write_cache(tmp_path / "remote", REPO, dict(files))
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.mark.slow
def test_the_hint_makes_the_entry_that_loads(
    hub: FakeHub,
    make_studio: Callable[..., Studio],
    light_runtime: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    studio = make_studio(None, light_runtime)
    studio.describe(hub_python=sys.executable)
    port = studio.ports[0]
    error = studio.mlxops("load", REPO, port).error
    assert "needs --trust-remote-code: its tokenizer is Python code" in error["message"]
    assert hub.asked_for("/lfs/") == []
    command = f"mlxops register kimi-k2-4bit {REPO} --arg=--trust-remote-code"
    assert error["hint"] == f"if you trust that code: {command}"
    # The same for one that is in the cache, and has no entry.
    studio.must("pull", REPO)
    studio.must("remove", "kimi-k2-4bit")
    assert command in studio.mlxops("load", REPO, port).error["hint"]
    studio.must(*shlex.split(command)[1:])
    loaded = studio.must("load", "kimi-k2-4bit", port)
    assert studio.ask(port, loaded["served_model"]) == "I am KIMI."
    studio.must("unload", port)
    studio.must("set", "kimi-k2-4bit", "args=")
    hint = studio.mlxops("load", "kimi-k2-4bit", port).error["hint"]
    assert "mlxops set kimi-k2-4bit args=--trust-remote-code" in hint
