"""Whether other accounts can write a registry, and which files beside it are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops.agent.registry import copies
from mlxops.agent.registry.sharing import others_write
from tests.support.accounts import NEEDS_ROOT
from tests.support.strangers import NOBODY


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir(0o755)
    path = folder / "registry.json"
    path.write_text('{"version": 1, "models": {}}')
    path.chmod(0o644)
    return path


def test_a_registry_of_this_user_is_nobody_elses(registry: Path) -> None:
    assert not others_write(str(registry))


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_shared(registry: Path, mode: int) -> None:
    registry.chmod(mode)
    assert others_write(str(registry))


@pytest.mark.parametrize("up", [0, 1])
def test_in_a_folder_of_others_the_file_can_be_replaced(registry: Path, up: int) -> None:
    folder = registry.parents[up]
    folder.chmod(0o2775)
    assert others_write(str(registry))
    folder.chmod(0o1777)
    assert not others_write(str(registry))
    folder.chmod(0o755)


def test_a_link_is_judged_by_where_it_leads(registry: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(registry)
    assert not others_write(str(link))
    registry.chmod(0o664)
    assert others_write(str(link))


@NEEDS_ROOT
def test_a_file_or_folder_of_another_user_is_shared(registry: Path) -> None:
    os.chown(registry, NOBODY, NOBODY)
    assert others_write(str(registry))
    os.chown(registry, 0, 0)
    os.chown(registry.parent, NOBODY, NOBODY)
    assert others_write(str(registry))


def test_a_fifo_in_the_place_of_a_copy_is_not_waited_for(registry: Path) -> None:
    os.mkfifo(copies.backup(str(registry)))
    Path(copies.older_backup(str(registry))).write_bytes(registry.read_bytes())
    assert copies.newest_valid(str(registry)) == copies.older_backup(str(registry))
    assert not copies.has_content(copies.backup(str(registry)), b"x")
