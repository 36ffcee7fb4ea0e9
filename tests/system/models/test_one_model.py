"""One model in several spellings: case, links, trailing slashes, relative paths and revisions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually
from tests.support.watching import refused


@pytest.fixture
def here(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """By this machine's own agent; nothing is loaded."""
    return make_studio(None, studio_runtime)


@pytest.fixture
def started(here: Studio, fake_runtime: FakeRuntime) -> Iterator[Callable[..., None]]:
    """Starts a server by hand on the first port and waits until it answers."""
    running: list[subprocess.Popen[bytes]] = []

    def start(model: str, folder: Path) -> None:
        port = here.ports[0]
        words = [
            *fake_runtime.command,
            "--model-path",
            model,
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
        ]
        words += ["--served-model-name", here.slot(port)]
        running.append(
            subprocess.Popen(
                words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        eventually(lambda: here.ask(port, here.slot(port)))

    yield start
    for process in running:
        process.terminate()
        process.wait()


def spelled(how: str, here: Studio, path: Path) -> tuple[str, Path]:
    """The snapshot's path in another spelling, and the current folder for it."""
    link = here.folder / "linked"
    link.symlink_to(here.hub)
    return {
        "slash": (f"{path}/", here.folder),
        "dots": (f"{path.parent}/../snapshots/{path.name}", here.folder),
        "link": (str(link / path.relative_to(here.hub)), here.folder),
        "relative": (os.path.relpath(path, here.hf_home), here.hf_home),
        "case of the repository": ("Tiny/AMBER", here.folder),
    }[how]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["slash", "dots", "link", "relative", "case of the repository"])
def test_a_server_started_by_hand_is_adopted_however_its_model_is_spelled(
    here: Studio, started: Callable[..., None], how: str
) -> None:
    here.must("init")
    start = spelled(how, here, Path(here.entry("amber")["cache_path"]))
    if how == "case of the repository":
        (here.folder / "Tiny").mkdir()
        shutil.copytree(here.entry("amber")["cache_path"], here.folder / "Tiny" / "AMBER")
        started("Tiny/AMBER", here.folder)
        assert (
            here.must("init")["actions"][0]["entry"] is None
        )  # a folder of its own is another model
        return
    started(*start)
    here.must("init")
    assert here.assignments() == {"amber": here.ports[0]}
    row = here.port_row(here.ports[0])
    assert row["entry"] == "amber" and "it serves" not in str(row), row


def test_another_snapshot_of_the_repository_is_told_as_such_and_the_hint_helps(
    here: Studio, started: Callable[..., None]
) -> None:
    here.must("init")
    path = Path(here.entry("amber")["cache_path"])
    other = path.with_name("0" * 40)
    shutil.copytree(path, other)
    started(str(other), here.folder)
    (step,) = [a for a in here.must("init", "--dry-run")["actions"] if a["action"] == "adopt"]
    assert "another snapshot of tiny/amber (entry amber)" in step["reason"]
    assert f"mlxops set amber cache_path={other} && mlxops init" in step["reason"]
    here.must("set", "amber", f"cache_path={other}/")
    here.must("init")
    assert here.assignments() == {"amber": here.ports[0]}


def test_a_repository_in_another_case_is_one_entry(here: Studio) -> None:
    here.must("register", "mine", "TINY/Amber")
    assert here.entry("mine")["repo_id"] == "tiny/amber" and here.entry("mine")["cache_path"]
    here.edit(lambda registry: registry["models"]["mine"].update(repo_id="Tiny/AMBER"))
    here.must("init")
    assert sorted(here.registry()["models"]) == ["jade", "mine", "topaz"]
    before = here.registry()
    for more in ((), ("--dry-run",), ("--slot", here.ports[0])):
        again = here.mlxops("register", "again", "tiny/AMBER", *more)
        error = refused(again, 7, "AssignmentConflict")
        assert error["message"].startswith("again was not added: ") and error["entry"] == "mine"
        assert error["message"].endswith(" is already registered as mine")
    assert here.must("register", "mine", "tiny/AMBER")["actions"][0]["action"] == "keep"
    assert here.registry() == before
    assert here.must("load", "tiny/amber", here.ports[0])["entry"] == "mine"


def test_a_slot_in_another_case_plans_the_same_entry(here: Studio) -> None:
    here.must("register", "mine", "tiny/amber")
    here.declare({here.ports[0]: "Tiny/AMBER"})
    result = here.must("register", "--slots")
    assert [(one["action"], one["entry"]) for one in result["actions"]] == [("plan", "mine")]
    assert result["warnings"] == []
    here.must("set", "mine", "repo_id=TINY/Amber")
    assert here.entry("mine")["repo_id"] == "tiny/amber"


def test_an_entry_of_an_invented_name_that_lies_in_the_cache_is_one_entry(here: Studio) -> None:
    here.must("init")
    path = here.entry("amber")["cache_path"]
    here.must("remove", "amber")
    here.must("register", "mine", "local/mine")
    here.must("set", "mine", f"cache_path={path}/../{Path(path).name}/")
    here.must("init")
    assert sorted(here.registry()["models"]) == ["jade", "mine", "topaz"]


def test_nothing_is_downloaded_a_second_time_into_a_folder_of_another_case(
    here: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cache(tmp_path / "remote", "tiny/Onyx", model_files([" ONYX"]))
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        here.describe(hub_python=sys.executable)
        assert here.must("load", "TINY/AMBER", here.ports[0])["entry"] == "amber"
        assert hub.seen == []
        result = here.must("load", "TINY/onyx", here.ports[1])
        assert (
            result["download"]["repo_id"] == "tiny/Onyx"
            and here.entry("onyx")["repo_id"] == "tiny/Onyx"
        )
        (folder,) = [path.name for path in here.hub.iterdir() if path.name.lower().endswith("onyx")]
        assert folder == "models--tiny--Onyx"


def test_a_revision_in_another_spelling_is_the_same_snapshot(here: Studio) -> None:
    here.must("init")
    commit = Path(here.entry("amber")["cache_path"]).name
    here.must("load", "amber", here.ports[0])
    for revision in ("main", commit, commit[:8]):
        assert here.must("load", "amber", here.ports[0], "--revision", revision)["changed"] is False
