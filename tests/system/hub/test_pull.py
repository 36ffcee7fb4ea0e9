"""pull downloads a model and registers it, and touches no server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.padding import padding
from tests.support.studio import Studio, eventually, finished

OPAL = "lab/Opal-1B-4bit"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    write_cache(tmp_path / "remote", OPAL, model_files([" OPAL"]))
    write_cache(tmp_path / "remote", "tiny/amber", model_files([" NEWER AMBER"]))
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
    studio.must("init")
    return studio


def pulled(studio: Studio, *words: object) -> dict[str, Any]:
    (row,) = studio.must("pull", *words)["models"]
    assert isinstance(row, dict)
    return row


def test_a_pulled_model_is_registered_and_loads(here: Studio, hub: FakeHub) -> None:
    dry = pulled(here, OPAL, "--dry-run")
    assert dry["missing_bytes"] > 0 and not dry["changed"]
    assert hub.asked_for("/lfs/") == [] and "opal-1b-4bit" not in here.registry()["models"]

    row = pulled(here, OPAL)
    assert row["entry"] == "opal-1b-4bit" and row["changed"]
    assert here.entry("opal-1b-4bit")["cache_path"] == row["path"]
    assert here.assignments() == {}
    assert [job["state"] for job in here.must("jobs")["jobs"]] == ["done"]
    here.must("load", "opal-1b-4bit", here.ports[0])


def test_pulling_again_changes_nothing(here: Studio, hub: FakeHub) -> None:
    pulled(here, OPAL)
    before, fetched = here.registry(), len(hub.asked_for("/lfs/"))
    row = pulled(here, OPAL)
    assert not row["changed"] and row["missing_bytes"] == 0
    assert (here.registry(), len(hub.asked_for("/lfs/"))) == (before, fetched)


@pytest.mark.parametrize("name", ["chat_template.jinja", "model-padding.safetensors"])
def test_what_an_interrupted_download_left_out_is_fetched(
    here: Studio, tmp_path: Path, name: str
) -> None:
    files = {**model_files([" BIG"]), "model-padding.safetensors": padding(1 << 16)}
    write_cache(tmp_path / "remote", "lab/big", files)
    path = Path(pulled(here, "lab/big")["path"])
    (path / name).unlink()
    row = pulled(here, "lab/big")
    assert row["changed"] and (path / name).is_file()


def test_a_newer_revision_updates_the_entry(here: Studio) -> None:
    old = here.entry("amber")["cache_path"]
    row = pulled(here, "amber")
    assert row["changed"] and here.entry("amber")["cache_path"] == row["path"] != old


def test_a_model_that_serves_keeps_its_revision(here: Studio) -> None:
    here.must("load", "amber", here.ports[0])
    old = here.entry("amber")["cache_path"]
    answer = here.mlxops("pull", "amber")
    assert answer.exit == 0 and here.entry("amber")["cache_path"] == old
    assert here.port_row(here.ports[0])["drift"] is None


def test_a_part_of_a_name_downloads_nothing(here: Studio, hub: FakeHub) -> None:
    answer = here.mlxops("pull", "ambe")
    assert (answer.exit, answer.error["kind"]) == (9, "ModelUnknown")
    assert hub.seen == []


def test_an_unknown_repository_is_named(here: Studio) -> None:
    answer = here.mlxops("pull", "lab/none")
    assert answer.exit == 9 and "lab/none" in answer.error["message"]


@pytest.mark.slow
def test_a_pull_can_be_cancelled_and_resumes(here: Studio, hub: FakeHub, tmp_path: Path) -> None:
    files = {**model_files([" BIG"]), "model-padding.safetensors": padding(24 << 20)}
    write_cache(tmp_path / "remote", "lab/big", files)
    hub.faults.rate = 4 << 20
    pulling = here.start("pull", "lab/big")
    eventually(lambda: [job for job in here.must("jobs")["jobs"] if job["progress"]])
    here.must("cancel")
    assert finished(pulling).exit == 130
    assert "big" not in here.registry()["models"]
    hub.faults.rate = 0
    assert pulled(here, "lab/big")["changed"]
