"""What a repository lacks is told before the first byte of its weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import write_cache
from tests.support import modelstates as states
from tests.support.fakehub import FakeHub
from tests.support.studio import Studio
from tests.support.watching import refused

WHY = {
    "gap": "no model-00002-of-00002.safetensors on the Hub",
    "no-tokenizer": "no tokenizer.json on the Hub",
    "gguf": "its weights are GGUF files",
    "npz": "its weights are .npz files",
    "bin": "its weights are PyTorch .bin files",
    "consolidated": "mlx-lm reads only model*.safetensors, not consolidated.safetensors",
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    for name in (*WHY, "stale-index"):
        {**states.BROKEN, **states.WHOLE}[name](tmp_path / "remote", f"lab/{name}")
    unknown = {**states.FILES, "config.json": b'{"model_type": "martian"}'}
    write_cache(tmp_path / "remote", "lab/martian", unknown)
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.fixture
def here(
    hub: FakeHub,
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    studio = make_studio(None, studio_runtime)
    studio.describe(hub_python=sys.executable)
    return studio


def weights_asked_for(hub: FakeHub) -> list[str]:
    asked = [seen.path for seen in hub.seen]
    return [path for path in asked if "/lfs/" in path or "safetensors" in path]


@pytest.mark.slow
@pytest.mark.parametrize("state", WHY)
def test_every_verb_that_asks_the_hub_says_what_is_missing(
    here: Studio, hub: FakeHub, state: str
) -> None:
    port, repo = here.ports[0], f"lab/{state}"
    for words in (("load", repo, port), ("fit", repo), ("pull", repo, "--yes")):
        error = refused(here.mlxops(*words), 9, "NotDownloadable")
        assert WHY[state] in error["message"], error
    assert weights_asked_for(hub) == [] and here.must("list")["models"] == []


@pytest.mark.slow
def test_the_loader_is_asked_before_the_download(here: Studio, hub: FakeHub) -> None:
    error = refused(here.mlxops("load", "lab/martian", here.ports[0]), 1, "Failed")
    assert "martian" in error["message"] and "--force" in error["hint"]
    assert weights_asked_for(hub) == []


@pytest.mark.slow
def test_force_downloads_what_there_is(here: Studio, hub: FakeHub) -> None:
    port = here.ports[0]
    result = here.must("load", "lab/gap", port, "--force")
    assert result["download"]["missing_bytes"] > 0 and weights_asked_for(hub)
    assert Path(here.entry("gap")["cache_path"], states.PARTS[0]).is_file()


@pytest.mark.slow
def test_a_stale_index_is_no_reason(here: Studio) -> None:
    assert here.must("load", "lab/stale-index", here.ports[0])["download"]["missing_bytes"] > 0
