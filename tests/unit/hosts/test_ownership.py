"""A host file is used only if nobody but the user and root could have written it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops.agent.errors import Usage
from mlxops.hosts import files as hosts
from mlxops.hosts import folders as hostfolders
from mlxops.hosts.ownership import require_own

LEAST = '[studio]\nhf_home = "/models"\n'
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """way/hosts/lab.toml, which others cannot write, nor any folder above it."""
    path = tmp_path / "way" / "hosts" / "lab.toml"
    path.parent.mkdir(parents=True)
    path.write_text(LEAST)
    return path


def refusal(path: Path) -> Usage:
    with pytest.raises(Usage) as caught:
        hosts.read_host(path)
    return caught.value


def test_what_only_the_user_can_write_is_used(lab: Path) -> None:
    assert hosts.read_host(lab).name == "lab"
    lab.chmod(0o400)
    assert hosts.read_host(lab).name == "lab"


@pytest.mark.parametrize("up", [0, 1, 2])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_refused_with_the_command_that_helps(
    lab: Path, up: int, mode: int
) -> None:
    """The file, its folder, and a folder further up."""
    weak = [lab, *lab.parents][up]
    weak.chmod(weak.stat().st_mode & 0o777 | mode)
    refused = refusal(lab)
    assert (refused.exit_code, refused.fields["path"]) == (2, str(weak))
    assert f"{lab} is not used" in refused.message
    assert refused.hint == f"chmod go-w {weak}"
    os.system(refused.hint)
    assert hosts.read_host(lab).name == "lab"


@as_root
@pytest.mark.parametrize("up", [0, 1, 2])
def test_what_belongs_to_another_user_is_refused(lab: Path, up: int) -> None:
    weak = [lab, *lab.parents][up]
    os.chown(weak, NOBODY, -1)
    refused = refusal(lab)
    assert refused.fields["path"] == str(weak)
    assert f"chown root {weak}" in refused.hint


def test_a_sticky_folder_is_a_way_to_a_file_but_no_place_for_it(lab: Path) -> None:
    lab.parents[1].chmod(0o1777)
    assert hosts.read_host(lab).name == "lab"
    lab.parents[1].chmod(0o755)
    lab.parent.chmod(0o1777)
    assert refusal(lab).fields["path"] == str(lab.parent)


@as_root
def test_what_another_user_put_into_a_sticky_folder_is_refused(lab: Path) -> None:
    lab.parents[1].chmod(0o1777)
    os.chown(lab.parent, NOBODY, -1)
    assert refusal(lab).fields["path"] == str(lab.parent)


def test_links_are_followed_and_both_ways_looked_at(lab: Path, tmp_path: Path) -> None:
    """The folders of the link and of its target count, and those of a link in between."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "lab.toml").symlink_to(lab)
    (own / "folder").symlink_to(lab.parent)
    for path in (own / "lab.toml", own / "folder" / "lab.toml"):
        assert hosts.read_host(path).name == "lab"
        lab.parent.chmod(0o777)
        assert refusal(path).fields["path"] == str(lab.parent)
        lab.parent.chmod(0o755)
        own.chmod(0o777)
        assert refusal(path).fields["path"] == str(own)
        own.chmod(0o755)


def test_dots_after_a_link_lead_above_its_target(lab: Path, tmp_path: Path) -> None:
    deep = lab.parent / "deep"
    deep.mkdir()
    (tmp_path / "link").symlink_to(deep)
    lab.parent.chmod(0o777)
    assert refusal(tmp_path / "link" / ".." / "lab.toml").fields["path"] == str(lab.parent)


@as_root
def test_another_users_link_is_refused(lab: Path, tmp_path: Path) -> None:
    link = tmp_path / "lab.toml"
    link.symlink_to(lab)
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    assert refusal(link).fields["path"] == str(link)


def test_links_in_a_circle_and_what_is_no_file_end_with_words(tmp_path: Path) -> None:
    (tmp_path / "a.toml").symlink_to(tmp_path / "b.toml")
    (tmp_path / "b.toml").symlink_to(tmp_path / "a.toml")
    assert "circle" in refusal(tmp_path / "a.toml").message
    os.mkfifo(tmp_path / "c.toml")
    assert "not a regular file" in refusal(tmp_path / "c.toml").message
    assert "No such file" in refusal(tmp_path / "d.toml").message


def test_the_config_file_is_held_to_the_same(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLXOPS_HOST", raising=False)
    config = tmp_path / "config.toml"
    config.write_text('host = "lab"\n')
    monkeypatch.setattr(hostfolders, "config_path", lambda: config)
    assert hosts.choose_host(None, str(lab.parent)).source == str(config)
    config.chmod(0o666)
    with pytest.raises(Usage, match="is writable by everyone"):
        hosts.choose_host(None, str(lab.parent))


def test_a_relative_path_is_looked_at_from_the_root_on(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.parent)
    require_own(Path("lab.toml"))
    lab.parents[1].chmod(0o777)
    with pytest.raises(Usage):
        require_own(Path("lab.toml"))
