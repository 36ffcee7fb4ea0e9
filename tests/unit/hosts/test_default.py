"""The default host in config.toml: every other line stays as it is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mlxops.agent.errors import Usage
from mlxops.hosts.default import keep_only_host, set_default
from mlxops.hosts.files import choose_host


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


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of host files, and a home without config.toml."""
    folder = tmp_path / "hosts"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", str(folder))
    return folder


def add_host(folder: Path, name: str, text: str = '[studio]\nhf_home = "/m"\n') -> None:
    (folder / f"{name}.toml").write_text(text)


def test_the_only_host_becomes_the_default_before_another_is_added(beside: Path) -> None:
    assert keep_only_host("studio", None) is None
    add_host(beside, "studio")
    assert keep_only_host("studio", None) is None  # --force: the same host again
    assert keep_only_host("studio2", None) == "studio"
    config = beside.parent / ".config/mlxops/config.toml"
    assert config.read_text() == 'host = "studio"\n'
    add_host(beside, "studio2")
    assert choose_host(None, None).file.name == "studio"


def test_a_choice_of_the_user_stays(beside: Path) -> None:
    add_host(beside, "studio")
    config = beside.parent / ".config/mlxops/config.toml"
    config.parent.mkdir(mode=0o700, parents=True)
    for text in ('host = "elsewhere"\n', "host = "):
        config.write_text(text)
        assert keep_only_host("studio2", None) is None and config.read_text() == text
    config.unlink()
    assert keep_only_host("studio2", str(beside)) is None  # a folder for one command
    add_host(beside, "studio", "broken")
    assert keep_only_host("studio2", None) is None
    add_host(beside, "studio")
    add_host(beside, "third")
    assert keep_only_host("studio2", None) is None and not config.exists()
