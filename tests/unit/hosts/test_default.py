"""The default host in config.toml: every other line stays as it is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mlxops.agent.errors import Usage
from mlxops.hosts.default import set_default


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "mlxops" / "config.toml"


def write(config: Path, text: str) -> None:
    config.parent.mkdir(mode=0o700)
    config.write_text(text)


def test_a_file_is_created_for_its_owner_only(config: Path) -> None:
    assert set_default(config, "studio") is None
    assert config.read_text() == 'host = "studio"\n'
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert [one.name for one in config.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('# mine\nhost = "old"  # why\nx = 1\n', '# mine\nhost = "new"  # why\nx = 1\n'),
        ("host='old'", 'host = "new"\n'),
        ("x = 1\n", 'host = "new"\nx = 1\n'),
        ('# top\n[cron]\nhost = "other"\n', 'host = "new"\n# top\n[cron]\nhost = "other"\n'),
    ],
)
def test_only_the_line_of_the_host_changes(config: Path, before: str, after: str) -> None:
    write(config, before)
    set_default(config, "new")
    assert config.read_text() == after


def test_the_default_is_removed_and_nothing_else(config: Path) -> None:
    write(config, '# mine\nhost = "old"\n[cron]\nx = 1\n')
    assert set_default(config, None) == "old"
    assert config.read_text() == "# mine\n[cron]\nx = 1\n"
    assert set_default(config, None) is None


def test_a_link_is_followed(config: Path, tmp_path: Path) -> None:
    write(config, "")
    real = tmp_path / "dotfiles.toml"
    config.rename(real)
    config.symlink_to(real)
    set_default(config, "studio")
    assert config.is_symlink() and real.read_text() == 'host = "studio"\n'


@pytest.mark.parametrize("text", ["host = ", 'host = """\nold"""\n', "host = 3\n"])
def test_what_cannot_be_changed_safely_is_left(config: Path, text: str) -> None:
    write(config, text)
    with pytest.raises(Usage):
        set_default(config, "new")
    assert config.read_text() == text
