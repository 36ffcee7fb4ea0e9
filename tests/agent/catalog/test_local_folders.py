"""Models in plain folders: which folders count, once each, and how they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxops.agent.catalog.local_folders import (
    LocalModel,
    find_model_dirs,
    find_models,
    label_of,
    missing_dirs,
)
from mlxops.demo.tinymodel import model_files


def model(path: Path) -> Path:
    path.mkdir(parents=True)
    for name, content in model_files([" X"]).items():
        (path / name).write_bytes(content)
    return path


def labels(models: tuple[LocalModel, ...]) -> list[str]:
    return [one.label for one in models]


def test_lm_studios_exos_and_plain_folders(tmp_path: Path) -> None:
    model(tmp_path / "a" / "mlx-community" / "Qwen3-4B")
    model(tmp_path / "a" / "org--name")
    model(tmp_path / "a" / "my fused")
    model(tmp_path / "one")
    found = find_models([str(tmp_path / "a"), f"{tmp_path}/one/"], [])
    assert sorted(labels(found)) == ["mlx-community/Qwen3-4B", "my fused", "one", "org/name"]
    assert all(one.snapshot.complete and one.snapshot.repo_id == "" for one in found)


def test_gguf_files_are_a_model_too(tmp_path: Path) -> None:
    (tmp_path / "pub" / "m-GGUF").mkdir(parents=True)
    (tmp_path / "pub" / "m-GGUF" / "m.gguf").write_bytes(b"GGUF")
    (found,) = find_models([str(tmp_path)], [])
    assert (found.label, found.snapshot.format) == ("pub/m-GGUF", "gguf")


def test_a_folder_counts_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    one = model(tmp_path / "a" / "one")
    (tmp_path / "a" / "two").symlink_to(one)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert labels(find_models([str(tmp_path / "a"), str(tmp_path / "b")], [])) == ["one"]
    assert find_models([str(tmp_path / "b")], [f"{one}/."]) == ()


def test_a_circle_of_links_a_cache_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    model(tmp_path / ".hidden")
    model(tmp_path / "models--org--x")
    model(tmp_path / "a" / "b" / "too" / "deep")
    model(tmp_path / "good")
    assert labels(find_models([str(tmp_path)], [])) == ["good"]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    (why,) = missing_dirs([str(tmp_path), str(tmp_path / "Volumes" / "T7" / "models")])
    assert why == f"{tmp_path}/Volumes does not exist"
    assert find_models([str(tmp_path / "Volumes" / "T7" / "models")], []) == ()


@pytest.mark.parametrize(
    ("path", "label"), [("/m/my-fused/", "my-fused"), ("/m/org--x--y", "org/x--y")]
)
def test_the_label_of_a_folder(path: str, label: str) -> None:
    assert label_of(path) == label


def test_the_usual_folders_are_proposed_where_they_have_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    model(tmp_path / "home" / ".lmstudio" / "models" / "pub" / "m")
    (tmp_path / "home" / ".omlx" / "models").mkdir(parents=True)
    model(tmp_path / "Volumes" / "T7" / "models" / "m")
    found = find_model_dirs(str(tmp_path / "Volumes"))
    assert [(one.path, one.models) for one in found] == [
        (str(tmp_path / "home" / ".lmstudio" / "models"), 1),
        (str(tmp_path / "Volumes" / "T7" / "models"), 1),
    ]
