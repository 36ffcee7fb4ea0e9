"""Small files between commands: whatever is wrong with them, a command goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops import client_state


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "mlxops"


def test_a_value_is_kept_for_this_account_alone(state: Path) -> None:
    assert client_state.read_json("x.json") is None
    client_state.write_json("x.json", {"a": [1, "ü"]})
    assert client_state.read_json("x.json") == {"a": [1, "ü"]}
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "x.json").stat().st_mode & 0o777 == 0o600
    assert os.listdir(state) == ["x.json"]


def test_without_the_variable_it_is_below_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert client_state.folder() == tmp_path / ".local/state/mlxops"


def test_what_cannot_be_used_counts_as_absent(state: Path) -> None:
    state.mkdir()
    for name, text in {"cut": '{"a"', "deep": "[" * 100_000, "binary": "\udcff"}.items():
        (state / name).write_bytes(text.encode(errors="surrogateescape"))
        assert client_state.read_json(name) is None
    os.mkfifo(state / "pipe")
    (state / "link").symlink_to("/etc/hosts")
    (state / "folder").mkdir()
    assert [client_state.read_json(name) for name in ("pipe", "link", "folder")] == [None] * 3


def test_a_folder_that_cannot_be_written_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    client_state.write_json("x.json", 1)
    assert client_state.read_json("x.json") is None
