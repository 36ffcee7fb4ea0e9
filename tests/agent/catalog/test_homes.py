"""Finding the folder of models on a host: the environment, the usual place, external volumes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxops.agent.catalog.homes import find_homes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def models(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"models--org--{name}").mkdir(parents=True)
    return folder


def test_the_usual_folder_is_always_offered(home: Path, tmp_path: Path) -> None:
    (one,) = find_homes({}, str(tmp_path / "none"))
    assert (one.path, one.models) == (str(home / ".cache/huggingface"), 0)
    assert one.free_bytes


def test_hf_home_comes_first_and_counts_once(home: Path, tmp_path: Path) -> None:
    usual = home / ".cache/huggingface"
    models(usual / "hub", "a", "b")
    found = find_homes({"HF_HOME": str(usual)}, str(tmp_path / "none"))
    assert [(one.path, one.models, one.why) for one in found] == [(str(usual), 2, "HF_HOME")]


def test_volumes_are_offered_only_where_they_have_models(home: Path, tmp_path: Path) -> None:
    volumes = tmp_path / "Volumes"
    models(volumes / "SSD/huggingface/hub", "a")
    models(volumes / "Flat/models", "b", "c")
    (volumes / "Empty/huggingface").mkdir(parents=True)
    (volumes / "Macintosh HD").symlink_to("/")
    found = find_homes({}, str(volumes))[1:]
    assert [(one.path, one.models) for one in found] == [
        (str(volumes / "Flat/models"), 2),
        (str(volumes / "SSD/huggingface"), 1),
    ]
