"""Layouts of repositories that lists of files once refused, on both real servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakehub import FakeHub
from tests.support.layouts import as_kimi, as_qwen3_vl, saying, sharded, write_folder
from tests.support.studio import Studio
from tests.support.watching import refused

pytestmark = pytest.mark.slow


@pytest.fixture(
    params=["light_runtime", pytest.param("openai_runtime", marks=pytest.mark.openai_server)]
)
def real(
    request: pytest.FixtureRequest,
    make_studio: Callable[..., Studio],
    empty_hub: FakeHub,
    tmp_path: Path,
) -> Studio:
    """A local Studio of a real server, with a home of its own; its Hub has nothing."""
    runtime: dict[str, Any] = request.getfixturevalue(request.param)
    env = {"HF_ENDPOINT": empty_hub.url, "HOME": str(tmp_path / "home")}
    return make_studio(None, {**runtime, "startup_timeout_s": 120}, env=env)


def answer(studio: Studio, name: str, *words: object) -> str:
    """What the model answers once it is loaded on the first port."""
    port = studio.ports[0]
    loaded = studio.must("load", name, port, "--replace", *words)
    return studio.ask(port, loaded["served_model"])


def test_a_qwen3_vl_with_the_index_of_another_build(real: Studio) -> None:
    """Two complete shards beside the index of the original 13."""
    files = sharded(as_qwen3_vl(saying("STALE")), 2, indexed=13)
    real.add("mlx-community/Qwen3-VL-30B-4bit", files)
    assert "qwen3-vl-30b-4bit" in [a["entry"] for a in real.must("init")["actions"]]
    loaded = real.must("load", "qwen3-vl-30b-4bit", real.ports[0])
    assert "index.json does not match the files" in str(loaded["warnings"])
    assert real.ask(real.ports[0], loaded["served_model"]) == "I am STALE."


def test_shards_without_an_index(real: Studio) -> None:
    real.add("mlx-community/no-index", sharded(saying("NOINDEX"), 2, indexed=0))
    real.must("init")
    assert answer(real, "no-index") == "I am NOINDEX."


def test_a_kimi_with_a_tokenizer_of_its_own(real: Studio) -> None:
    real.add("mlx-community/Kimi-K2-Instruct-4bit", as_kimi(saying("KIMI")))
    real.must("init")
    real.must("set", "kimi-k2-instruct-4bit", "args=--trust-remote-code")
    assert answer(real, "kimi-k2-instruct-4bit") == "I am KIMI."


def test_a_model_on_a_disk_that_is_then_away(
    real: Studio, tmp_path: Path, empty_hub: FakeHub
) -> None:
    """It is loaded through the link; without its disk it is refused and the occupant serves on."""
    disk = tmp_path / "Volumes" / "Ext"
    real.add("mlx-community/far-4bit", saying("FAR"))
    link = real.hub / "models--mlx-community--far-4bit"
    disk.mkdir(parents=True)
    shutil.move(link, disk / link.name)
    link.symlink_to(disk / link.name)
    real.must("init")
    assert answer(real, "far-4bit") == "I am FAR."
    assert answer(real, "amber") == "I am AMBER."
    os.rename(disk, disk.with_name("Elsewhere"))
    for name in ("far-4bit", "mlx-community/far-4bit"):
        error = refused(real.mlxops("load", name, real.ports[0], "--replace"), 9, "ModelMissing")
        assert f"{disk} does not exist" in error["message"], error
    row = real.port_row(real.ports[0])
    assert real.ask(real.ports[0], row["served_model"]) == "I am AMBER."
    os.rename(disk.with_name("Elsewhere"), disk)
    assert answer(real, "far-4bit") == "I am FAR."
    assert not empty_hub.seen


def test_a_folder_that_is_no_cache(real: Studio, tmp_path: Path, empty_hub: FakeHub) -> None:
    """As `mlx_lm.fuse` or a copy leaves it. When it is away it is refused, and not looked for."""
    folder = write_folder(tmp_path / "My Models" / "größe 7b", saying("MINE"))
    real.must("register", "mine", "--path", f"{folder}/")
    assert answer(real, "mine") == "I am MINE."
    real.must("unload", real.ports[0])
    folder.rename(folder.with_name("renamed"))
    for words in ((), ("--download",)):
        error = refused(real.mlxops("load", "mine", real.ports[0], *words), 9, "ModelMissing")
        assert f"{folder} does not exist" in error["message"], error
    assert not empty_hub.seen
