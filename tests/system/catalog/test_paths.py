"""The path of a folder on the host stands for its entry, however it is spelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.studio import Studio
from tests.support.watching import refused


@pytest.fixture
def here(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """By this machine's own agent; its working folder and home are that of the studio."""
    studio = make_studio(None, studio_runtime)
    studio.env["HOME"] = str(studio.folder)
    return studio


def write_model(path: Path) -> Path:
    path.mkdir(parents=True)
    for name, content in model_files(["I", " am", " mine"]).items():
        (path / name).write_bytes(content)
    return path


def test_every_verb_finds_the_entry_of_a_folder(here: Studio, tmp_path: Path) -> None:
    path = write_model(here.folder / "models" / "my fused")
    (tmp_path / "link").symlink_to(path.parent)
    here.must("register", "mine", "--path", path)
    port = here.ports[0]
    spelled = ("./models/my fused", "~/models/my fused", f"{path}/", tmp_path / "link/my fused")
    assert [here.must("fit", word)["entry"] for word in spelled] == ["mine"] * 4
    assert [here.must("show", word)["entry"]["name"] for word in spelled] == ["mine"] * 4
    assert here.must("load", spelled[0], port)["entry"] == "mine"
    assert refused(here.mlxops("pull", path), 9, "ModelMissing")["message"].startswith(
        "mine has no"
    )
    assert here.must("unload", spelled[3])["port"] == port
    assert here.assignments() == {}


def test_a_folder_without_an_entry_is_to_be_registered(here: Studio, tmp_path: Path) -> None:
    path = write_model(tmp_path / "other")
    for words in (("load", f"{path}/", here.ports[0]), ("fit", path), ("show", path)):
        error = refused(here.mlxops(*words), 9, "ModelUnknown")
        assert error["message"] == f"no entry has the folder {path}"
        assert error["hint"] == f"mlxops register --path {path}"
    error = refused(here.mlxops("load", tmp_path / "none" / "x", here.ports[0]), 9, "ModelUnknown")
    assert f"({tmp_path}/none does not exist)" in error["message"]
