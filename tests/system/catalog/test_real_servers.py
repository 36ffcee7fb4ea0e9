"""Local models on the real servers: loaded, adopted in each spelling, and away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.fakehub import FakeHub
from tests.support.studio import Studio, eventually
from tests.support.watching import refused


def local_model(path: Path) -> Path:
    path.mkdir(parents=True)
    for name, content in model_files(["I", " am", " LOCAL"]).items():
        (path / name).write_bytes(content)
    return path


def loads_and_loses(studio: Studio, hub: FakeHub, model: str | None) -> None:
    """Load a folder of model_dirs on a volume, then take the volume away."""
    volume = studio.folder / "Volumes" / "T 7"
    path = local_model(volume / "models" / "pub" / "mine")
    studio.describe(model_dirs=[str(volume / "models")], hub_python=sys.executable)
    studio.must("init")
    port = studio.ports[0]
    result = studio.must("load", "mine", port)
    assert result["entry"] == "mine" and studio.entry("mine")["cache_path"] == str(path)
    assert "LOCAL" in studio.ask(port, model or studio.slot(port))
    assert studio.port_row(port)["drift"] is None
    studio.must("unload", port)
    volume.rename(studio.folder / "unplugged")
    error = refused(studio.mlxops("load", "mine", port), 9, "ModelMissing")
    assert f"{volume} does not exist" in error["message"]
    assert hub.seen == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.mark.slow
def test_mlx_lm_server(
    make_studio: Callable[..., Studio], light_runtime: dict[str, Any], hub: FakeHub
) -> None:
    loads_and_loses(make_studio(None, light_runtime), hub, "default_model")


@pytest.mark.slow
@pytest.mark.openai_server
def test_mlx_openai_server(
    make_studio: Callable[..., Studio], openai_runtime: dict[str, Any], hub: FakeHub
) -> None:
    loads_and_loses(make_studio(None, openai_runtime), hub, None)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["as it is", "slash", "link", "relative"])
def test_a_server_of_a_local_model_is_adopted_however_its_folder_is_spelled(
    make_studio: Callable[..., Studio], light_runtime: dict[str, Any], how: str
) -> None:
    studio = make_studio(None, light_runtime)
    path = local_model(studio.folder / "models" / "my model")
    (studio.folder / "link").symlink_to(studio.folder / "models")
    studio.describe(model_dirs=[str(studio.folder / "models")])
    spelled, port = (
        {
            "as it is": str(path),
            "slash": f"{path}/",
            "link": str(studio.folder / "link" / "my model"),
            "relative": os.path.relpath(path, studio.hub),
        }[how],
        studio.ports[0],
    )
    words = [*light_runtime["command"], "--model", spelled, "--port", str(port)]
    server = subprocess.Popen(words, cwd=studio.hub, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: studio.ask(port, "default_model"))
        # The model is found, and its server adopted, by one command.
        studio.must("init")
        assert studio.assignments() == {"my-model": port}
        assert studio.port_row(port)["drift"] is None
        assert studio.must("init")["actions"] == []
    finally:
        server.terminate()
        server.wait()
