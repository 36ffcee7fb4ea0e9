"""A snapshot with something else in place of a file: no verb waits for it, and no server gets
it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.asking import ask, refusal
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio
from tests.system.wire.test_hostile_text import directory, fifo

NAMES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
    "generation_config.json",
)


@pytest.mark.parametrize("make", [directory, fifo])
def test_what_is_no_file(
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    fake_runtime: FakeRuntime,
    make: Callable[[Path], None],
) -> None:
    studio = make_studio(None, studio_runtime)
    for name in NAMES:
        place = studio.add(f"tiny/{name}", {**model_files([" ODD"]), name: b"{}"}) / name
        make(place)
    ask(studio, "init")
    assert sorted(studio.registry()["models"]) == ["amber", "jade", "topaz"]
    # As a hand would add them, under a name that no Hub has.
    amber = studio.entry("amber")
    paths = {
        name: str(next(studio.hub.glob(f"models--tiny--{name}/snapshots/*"))) for name in NAMES
    }
    odd = {
        name: {**amber, "repo_id": name, "model_id": name, "cache_path": path}
        for name, path in paths.items()
    }
    studio.edit(lambda registry: registry["models"].update(odd))
    for name in NAMES:
        assert ask(studio, "show", what=name)["entry"]["cache_path"] == paths[name]
        for verb, more in (("fit", {}), ("load", {"port": studio.ports[0]})):
            refused = refusal(studio, verb, model=name, **more)
            assert (
                refused.kind == "ModelMissing"
                and f"{name} cannot be loaded: {paths[name]}: " in refused.message
            )
            assert f"{name} is empty or not a regular file" in refused.message
    assert fake_runtime.journal("started") == []
