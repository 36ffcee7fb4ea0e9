"""Finding runtimes in a home: environments, links of uv, versions, private folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxops.agent.programs import discover
from mlxops.agent.runtimes.table import RUNTIMES


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def program(folder: Path, name: str) -> Path:
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def found(home: Path) -> list[tuple[object, ...]]:
    return [
        (one.name, one.command[0].replace(str(home), "~"), one.version, one.on_path)
        for one in discover.find_runtimes(RUNTIMES)
        if one.command[0].startswith(str(home))
    ]


def test_the_one_on_path_comes_first_and_links_count_once(home: Path) -> None:
    tool = program(home / ".local/share/uv/tools/mlx-lm/bin", "mlx_lm.server")
    linked = home / ".local/bin/mlx_lm.server"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(tool)
    program(home / "mlx/.venv/bin", "mlx_lm.server")
    (home / "mlx/.venv/lib/python3.12/site-packages/mlx_lm-0.31.2.dist-info").mkdir(parents=True)
    assert found(home) == [
        ("mlx_lm.server", "~/.local/bin/mlx_lm.server", None, True),
        ("mlx_lm.server", "~/mlx/.venv/bin/mlx_lm.server", "0.31.2", False),
    ]


def test_two_runtimes_of_one_environment_are_two(home: Path) -> None:
    for name in ("mlx-openai-server", "mlx_lm", "vllm"):
        program(home / "env/bin", name)
    assert [row[0] for row in found(home)] == ["mlx-openai-server", "mlx_lm.server", "vllm"]
    first = discover.find_runtimes({"x": RUNTIMES["mlx-openai-server"]})[-1]
    assert first.command[1:] == ("launch",)


def test_private_folders_and_files_without_the_x_bit_are_left_alone(home: Path) -> None:
    program(home / "Documents/bin", "mlx_lm.server")
    program(home / "env/bin", "mlx_lm.server").chmod(0o644)
    (home / "dir/bin/mlx_lm.server").mkdir(parents=True)
    assert found(home) == []
