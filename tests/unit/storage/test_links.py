"""Nothing is removed through a link out of the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxops.agent.storage.content import read_repo
from mlxops.agent.storage.judge import Use, judge_repo


@pytest.mark.parametrize("part", ["snapshots", "blobs"])
def test_a_part_of_a_repository_that_is_a_link(part: str, tmp_path: Path) -> None:
    repo, outside = tmp_path / "models--org--name", tmp_path / "outside"
    (outside / "mine").mkdir(parents=True)
    for name in ("thesis.txt", "x.incomplete", "mine/thesis.txt"):
        (outside / name).write_text("x")
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "blobs").mkdir()
    assert removable(repo) != []
    for folder in sorted((repo / part).glob("*")):
        folder.rmdir()
    (repo / part).rmdir()
    (repo / part).symlink_to(outside)
    assert removable(repo) == []


def removable(repo: Path) -> list[str]:
    found = read_repo(str(repo))
    items = judge_repo(found, {held.path: Use() for held in found.snapshots})
    return [item.path for item in items if item.removable]
