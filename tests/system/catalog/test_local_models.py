"""Models in plain folders: found below `model_dirs`, registered by --path, loaded, and never looked
for on the Hub."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.fakehub import FakeHub
from tests.support.studio import Studio
from tests.support.watching import refused


@pytest.fixture
def here(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """By this machine's own agent; nothing is loaded."""
    return make_studio(None, studio_runtime)


def model(path: Path, word: str = " LOCAL", **more: bytes) -> Path:
    path.mkdir(parents=True)
    for name, content in {**model_files(["I", " am", word]), **more}.items():
        (path / name).write_bytes(content)
    return path


def with_dirs(studio: Studio, *dirs: Path) -> Studio:
    studio.describe(model_dirs=[str(one) for one in dirs])
    return studio


def test_init_adds_the_models_of_model_dirs_each_once(here: Studio, tmp_path: Path) -> None:
    own = model(tmp_path / "lm" / "pub" / "My Fused")
    model(tmp_path / "lm" / "tiny" / "amber")  # a copy of one in the cache
    model(tmp_path / "ssd" / "pub" / "my fused")
    (tmp_path / "lm" / "linked").symlink_to(own)
    (tmp_path / "lm" / "snapshot").symlink_to(next(here.hub.glob("models--tiny--jade/snapshots/*")))
    with_dirs(here, tmp_path / "lm", tmp_path / "ssd", tmp_path / "Volumes" / "T7")
    result = here.must("init")
    models = here.registry()["models"]
    assert sorted(models) == ["amber", "jade", "my-fused", "topaz"]
    entry = models["my-fused"]
    assert (entry["repo_id"], entry["cache_path"]) == ("", str(own))
    assert [(one["kind"], one["model"]) for one in result["skipped"]] == [
        ("copy", "tiny/amber"),
        ("copy", "pub/my fused"),
    ]
    assert here.must("init")["actions"] == []
    warned = here.start("init").communicate()[1]
    assert f"{tmp_path}/Volumes does not exist" in warned


def test_gguf_files_are_told_and_not_added(here: Studio, tmp_path: Path) -> None:
    (tmp_path / "lm" / "pub" / "m-GGUF").mkdir(parents=True)
    (tmp_path / "lm" / "pub" / "m-GGUF" / "m.gguf").write_bytes(b"GGUF")
    with_dirs(here, tmp_path / "lm")
    (row,) = here.must("init")["skipped"]
    assert (row["model"], row["kind"]) == ("pub/m-GGUF", "gguf")
    out = here.start("init", "-v").communicate()[0]
    assert "not added pub/m-GGUF: GGUF weights, which no MLX server loads" in out
    assert (
        "1 other model was not added: 1 GGUF (mlxops init -v lists them)"
        in (here.start("init").communicate()[0])
    )


def test_a_folder_that_moved_is_not_added_again(here: Studio, tmp_path: Path) -> None:
    old = model(tmp_path / "a" / "pub" / "mine")
    with_dirs(here, tmp_path / "a", tmp_path / "b")
    here.must("init")
    (tmp_path / "b" / "pub").mkdir(parents=True)
    new = old.rename(tmp_path / "b" / "pub" / "Mine")
    (step,) = here.must("init")["actions"]
    assert (step["action"], step["entry"], step["applied"]) == ("refresh", "mine", False)
    assert f"mlxops set mine cache_path={new}" in step["reason"]
    here.must("set", "mine", f"cache_path={new}")
    assert here.must("init")["actions"] == []


def test_a_local_model_is_registered_loaded_and_never_asked_of_the_hub(
    here: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(tmp_path / "Volumes" / "T 7" / "it's mine")
    port = here.ports[0]
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        here.describe(hub_python=sys.executable)
        (step,) = here.must("register", "--path", f"{path}/")["actions"]
        assert (step["entry"], step["applied"]) == ("it-s-mine", True)
        here.must("rename", "it-s-mine", "mine")
        assert here.must("load", "mine", port)["entry"] == "mine"
        assert here.must("fit", "mine")["source"] == "disk"
        assert here.must("unload", port)["port"] == port
        refused(here.mlxops("pull", "mine"), 9, "ModelMissing")
        (tmp_path / "Volumes").rename(tmp_path / "unplugged")
        for words in (
            ("load", "mine", port),
            ("load", "mine", port, "--download"),
            ("fit", "mine"),
        ):
            error = refused(here.mlxops(*words), 9, "ModelMissing")
            assert f"{tmp_path}/Volumes does not exist" in error["message"], error
            assert "mount its disk" in error["hint"], error
        assert here.mlxops("load", "mine", port, "--force").exit == 9
        (row,) = [one for one in here.must("list")["models"] if one["name"] == "mine"]
        assert (row["repo_id"], row["files"]) == ("", "gone")
        assert hub.seen == []


@pytest.mark.parametrize("how", ["slash", "dots", "link", "relative", "blank"])
def test_a_folder_in_another_spelling_is_registered_once(
    here: Studio, tmp_path: Path, how: str
) -> None:
    path = model(tmp_path / "models" / "my model")
    (tmp_path / "link").symlink_to(tmp_path / "models")
    here.must("register", "mine", "--path", path)
    before = here.registry()
    spelled = {
        "slash": f"{path}//",
        "dots": f"{path}/../my model",
        "link": f"{tmp_path}/link/my model",
        "relative": f"../{path.relative_to(here.folder.parent)}",
        "blank": f"{path}",
    }[how]
    assert here.must("register", "--path", spelled)["actions"][0]["action"] == "keep"
    assert refused(here.mlxops("register", "other", "--path", spelled), 7, "AssignmentConflict")
    assert here.registry() == before
    here.must("register", "other", "--path", spelled, "--again")
    assert sorted(here.registry()["models"]) == ["mine", "other"]


def test_what_cannot_be_a_local_model_is_refused(here: Studio, tmp_path: Path) -> None:
    half = model(tmp_path / "half")
    (half / "model.safetensors").unlink()
    snapshot = next(here.hub.glob("models--tiny--jade/snapshots/*"))
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "m.gguf").write_bytes(b"GGUF")
    error = refused(here.mlxops("register", "x", "--path", tmp_path / "gone"), 9, "ModelMissing")
    assert error["message"] == f"{tmp_path}/gone does not exist"
    error = refused(here.mlxops("register", "x", "--path", half), 9, "ModelMissing")
    assert error["message"] == f"{half} is not a complete model: model.safetensors is missing"
    error = refused(here.mlxops("register", "x", "--path", snapshot), 2, "Usage")
    assert error["hint"] == f"mlxops register NAME tiny/jade --revision {snapshot.name}"
    refused(here.mlxops("register", "x", "--path", tmp_path / "gguf"), 2, "Usage")
    refused(here.mlxops("register", "x", "org/name", "--path", half), 2, "Usage")
    assert not here.registry_path.exists()


def test_the_files_of_a_local_model_are_never_removed(here: Studio, tmp_path: Path) -> None:
    path = model(tmp_path / "mine")
    here.must("register", "--path", path)
    error = refused(here.mlxops("remove", "mine", "--files"), 1, "Failed")
    assert "outside of the cache, where mlxops removes nothing" in error["message"]
    error = refused(here.mlxops("disk", "mine"), 9, "ModelUnknown")
    assert str(path) in error["message"]
    assert here.must("remove", "mine")["files"] == str(path) and path.is_dir()
    (step,) = here.must("history", "--undo", "mine")["actions"]
    assert here.entry("mine")["cache_path"] == str(path) and str(path) in step["reason"]


def test_blobs_that_a_local_model_links_to_are_not_pruned(here: Studio, tmp_path: Path) -> None:
    snapshot = next(here.hub.glob("models--tiny--jade/snapshots/*"))
    (tmp_path / "mine").mkdir()
    for file in snapshot.iterdir():
        (tmp_path / "mine" / file.name).symlink_to(file.resolve())
    here.must("register", "--path", tmp_path / "mine")
    here.must("disk", "--prune", "--yes")
    assert (tmp_path / "mine" / "config.json").exists() and snapshot.is_dir()
    assert not list(here.hub.glob("models--tiny--amber/snapshots/*"))


def test_a_slot_plans_a_local_model_by_the_name_of_its_entry(here: Studio, tmp_path: Path) -> None:
    port = here.ports[1]
    path = model(tmp_path / "mine")
    here.declare({port: "mine"})
    error = refused(here.mlxops("apply", "--yes"), 2, "Usage")
    assert "slots" in error["message"] and "'mine'" in error["message"]
    here.must("register", "--path", path)
    here.must("apply", "--yes")
    assert here.assignments() == {"mine": port}
    assert here.must("register", "--slots")["actions"][0]["entry"] == "mine"
    assert here.entry("mine")["slot"] == port
    assert here.must("apply", "--yes")["changed"] is False
    warned = here.must("rename", "mine", "other")["warnings"]
    assert any(f"slots.{port}.model of the host file is still mine" in text for text in warned)


def test_an_invented_repository_is_given_up(here: Studio, tmp_path: Path) -> None:
    path = model(tmp_path / "mine")
    here.must("register", "mine", "local/mine")
    refused(here.mlxops("set", "mine", "repo_id="), 2, "Usage")
    here.must("set", "mine", f"cache_path={path}", "repo_id=")
    assert (here.entry("mine")["repo_id"], here.entry("mine")["model_id"]) == ("", "")
    assert here.must("load", "mine", here.ports[0])["entry"] == "mine"
    shutil.rmtree(path)
