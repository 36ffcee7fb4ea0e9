"""Caches on disks of other systems, in two roots, and with the leftovers of other programs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import write_cache
from tests.support.fakeruntime import FakeRuntime
from tests.support.layouts import saying, without, write_folder
from tests.support.studio import Studio
from tests.support.watching import refused

pytestmark = pytest.mark.slow
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


@pytest.fixture
def here(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """By this machine's own agent; nothing is registered."""
    return make_studio(None, studio_runtime)


def added(studio: Studio) -> list[str]:
    return [action["entry"] for action in studio.must("init")["actions"]]


def as_exfat(repo: Path) -> Path:
    """The repository as a disk without links has it: files in the place of the links, and a Finder
    that leaves its own beside each of them. Returns the snapshot."""
    (snapshot,) = (repo / "snapshots").iterdir()
    for path in list(snapshot.iterdir()):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    shutil.rmtree(repo / "blobs")
    for path in [*repo.rglob("*"), repo]:
        path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
        if path.is_dir():
            (path / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    return snapshot


def test_an_exfat_disk_with_the_files_of_a_finder(here: Studio) -> None:
    here.add("mlx-community/Exfat-4bit", saying("EXFAT"))
    snapshot = as_exfat(here.hub / "models--mlx-community--Exfat-4bit")
    answer = here.mlxops("init")
    assert "exfat-4bit" in [action["entry"] for action in answer.result["actions"]]
    assert "._" not in answer.stdout + answer.stderr and "DS_Store" not in answer.stderr
    assert here.entry("exfat-4bit")["cache_path"] == str(snapshot)
    shown = next(row for row in here.must("list")["models"] if row["name"] == "exfat-4bit")
    assert shown["problem"] is None and shown["size_bytes"] > 200_000
    here.must("load", "exfat-4bit", here.ports[0])


def test_a_repository_in_both_roots_is_one_entry_of_the_first(here: Studio) -> None:
    first = here.add("mlx-community/Twice-4bit", saying("FIRST"))
    write_cache(here.hf_home, "mlx-community/Twice-4bit", saying("SECOND"))
    assert "twice-4bit" in added(here) and added(here) == []
    assert here.entry("twice-4bit")["cache_path"] == str(first)


def test_a_whole_snapshot_of_the_second_root_is_better_than_half_of_one(here: Studio) -> None:
    half = without(saying("HALF"), "model.safetensors", "model.safetensors.index.json")
    here.add("mlx-community/Twice-4bit", half)
    whole = write_cache(here.hf_home, "mlx-community/Twice-4bit", saying("WHOLE"))
    assert "twice-4bit" in added(here)
    assert here.entry("twice-4bit")["cache_path"] == str(whole)


def test_a_registry_on_a_disk_that_is_away_is_not_made_anew(
    here: Studio, fake_runtime: FakeRuntime
) -> None:
    here.must("init")
    disk, away = here.hf_home, here.folder / "unplugged"
    disk.rename(away)
    words = (("status",), ("list",), ("init",), ("load", "amber", here.ports[0]), ("reconcile",))
    for verb in words:
        answer = here.mlxops(*verb)
        assert answer.exit not in (0, 11) and str(disk) in answer.error["message"], answer
        assert "mount" in answer.error["hint"] and not disk.exists(), answer
    away.rename(disk)
    here.must("load", "amber", here.ports[0])
    assert len(fake_runtime.journal("started")) == 1


def test_a_folder_of_another_program_in_the_cache_is_left_alone(here: Studio) -> None:
    """What `hf download --local-dir`, LM Studio and others may leave below HF_HOME."""
    write_folder(here.hub / "publisher" / "Model-4bit", saying("NOBODY"))
    write_folder(here.hf_home / "models--no-double-dash", {"config.json": b"{}"})
    write_folder(here.hub / ".locks" / "models--tiny--amber", {"x.lock": b""})
    assert sorted(added(here)) == ["amber", "jade", "topaz"]


def test_a_repository_without_any_file_says_so_and_stops_nobody(here: Studio) -> None:
    for name in ("models--a--empty", "models--b--refs-only", "models--c--no-snapshots"):
        (here.hub / name).mkdir()
    (here.hub / "models--b--refs-only" / "refs").mkdir()
    (here.hub / "models--b--refs-only" / "refs" / "main").write_text("0" * 40)
    assert sorted(added(here)) == ["amber", "jade", "topaz"]
    refused(here.mlxops("load", "empty", here.ports[0]), 9, "ModelUnknown")
