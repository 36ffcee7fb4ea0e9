"""Revisions in the cache that refs/main does not name, with and without a Hub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakehub import FakeHub
from tests.support.modelstates import OTHER_REVISION
from tests.support.studio import Studio
from tests.support.watching import refused

REPO = "lab/moved"


@pytest.fixture
def here(
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    empty_hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    """refs/main of REPO is at a revision with config.json alone; another one is complete."""
    monkeypatch.setenv("HF_ENDPOINT", empty_hub.url)
    studio = make_studio(None, studio_runtime)
    studio.describe(hub_python=sys.executable)
    OTHER_REVISION["main-moved"](studio.hub, REPO)
    return studio


def complete(studio: Studio) -> Path:
    (path,) = studio.hub.glob("models--lab--moved/snapshots/*/model.safetensors")
    return path.parent


def test_offline_the_only_complete_revision_serves(
    here: Studio, empty_hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path, port = complete(here), here.ports[0]
    assert here.must("fit", REPO)["source"] == "disk"
    result = here.must("load", REPO, port)
    assert f"serving revision {path.name[:8]}, the only complete one" in str(result["warnings"])
    assert here.entry("moved")["cache_path"] == str(path) and "revision" not in here.entry("moved")
    assert here.ask(port) and empty_hub.seen == []


@pytest.mark.slow
def test_where_the_hub_cannot_be_reached_it_serves_too(
    here: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = here.must("load", REPO, here.ports[0])
    assert "the Hub was not asked" in str(result["warnings"])


def test_of_several_complete_revisions_none_is_chosen(
    here: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    first = OTHER_REVISION["several"](here.hub, "lab/several")
    error = refused(here.mlxops("load", "lab/several", here.ports[0]), 9, "NotDownloadable")
    assert f"load lab/several {here.ports[0]} --revision {first.name[:8]}" in error["hint"]
    here.must("load", "lab/several", here.ports[0], "--revision", first.name[:8], "--dry-run")


@pytest.mark.slow
def test_a_prefix_of_two_commits_names_both(here: Studio, empty_hub: FakeHub) -> None:
    path = complete(here)
    other = path.with_name(path.name[:9] + "0" * 31)
    other.mkdir()
    answer = here.mlxops("load", REPO, here.ports[0], "--revision", path.name[:9])
    assert refused(answer, 9, "ModelAmbiguous")["matches"] == sorted([path.name, other.name])
    assert empty_hub.seen == []


@pytest.mark.slow
def test_a_hub_that_answers_is_asked_for_main_and_the_other_revision_is_told(
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = OTHER_REVISION["main-moved"](tmp_path / "remote", REPO)
    (whole.parents[1] / "refs" / "main").write_text(whole.name)
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        studio = make_studio(None, studio_runtime)
        studio.describe(hub_python=sys.executable)
        OTHER_REVISION["several"](studio.hub, REPO)
        for path in (studio.hub / "models--lab--moved" / "snapshots").iterdir():
            if path.name == whole.name:
                path.rename(path.with_name("b" * 40))
        result = studio.must("load", REPO, studio.ports[0], "--dry-run")
        assert result["download"]["revision"] == whole.name
        assert "--revision bbbbbbbb" in str(result["warnings"])
