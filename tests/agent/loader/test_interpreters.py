"""Interpreters that are not what they should be, and answers that others left in the state
folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxops.agent.context import Context
from mlxops.agent.loader import ask, process
from mlxops.agent.loader.ask import describe
from mlxops.agent.loader.description import Description
from mlxops.agent.loader.source import Folder, Listing

from .conftest import RUNTIME

ANSWER = json.dumps({"program": "mlx-lm 1.0", "end": True})
SOURCE = Listing("{}", {})


@pytest.fixture
def runtime_with(tmp_path: Path) -> Callable[[str], list[str]]:
    """The command of a runtime whose interpreter is this shell script."""

    def make(script: str) -> list[str]:
        python, program = tmp_path / "bin" / "python3", tmp_path / "bin" / "mlx_lm.server"
        python.parent.mkdir(exist_ok=True)
        for path, text in ((python, "#!/bin/sh\n" + script), (program, f"#!{python}\n")):
            path.write_text(text)
            path.chmod(0o755)
        return [str(program)]

    return make


Runtime = Callable[[str], list[str]]


def test_one_that_reads_nothing_is_ended_in_time(
    ctx: Context, runtime_with: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TIMEOUT_S", 0.3)
    larger_than_a_pipe = Listing(json.dumps({"x": "x" * (1 << 20)}), {})
    assert describe(ctx, RUNTIME, runtime_with("exec sleep 600"), larger_than_a_pipe) is None


def test_one_that_greets_is_heard(ctx: Context, runtime_with: Runtime) -> None:
    command = runtime_with(f"echo welcome; echo '{ANSWER}'")
    assert describe(ctx, RUNTIME, command, SOURCE) == Description("mlx-lm 1.0")


@pytest.mark.parametrize("script", ["yes", "cat /dev/zero", "exit 1", "kill -SEGV $$"])
def test_one_that_says_nothing_of_use(script: str, ctx: Context, runtime_with: Runtime) -> None:
    assert describe(ctx, RUNTIME, runtime_with(script), SOURCE) is None


def test_a_host_without_a_temporary_folder(
    ctx: Context, runtime_with: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = runtime_with(f"echo '{ANSWER}'")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert describe(ctx, RUNTIME, command, SOURCE) is None


@pytest.mark.slow
def test_a_loader_that_cannot_be_imported_is_named(
    ctx: Context, command: list[str], runtime_with: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "mlx_lm").mkdir()
    (tmp_path / "mlx_lm" / "__init__.py").write_text("raise OSError('no libmlx')")
    python = Path(command[0]).with_name("python")
    ours = runtime_with(f'PYTHONPATH={tmp_path} exec {python} "$@"')
    said = describe(ctx, RUNTIME, ours, SOURCE)
    assert said is not None and said.failure == "start: the loader ended with status 1: " + (
        "OSError: no libmlx"
    )


def test_a_model_that_changes_meanwhile_is_asked_about_again(
    ctx: Context, runtime_with: Runtime, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    was = os.stat(folder / "config.json").st_mtime_ns
    command = runtime_with(f"echo '{{}}  ' > {folder}/config.json; echo '{ANSWER}'")
    assert describe(ctx, RUNTIME, command, Folder(str(folder))) is not None
    (folder / "config.json").write_text("{}")
    os.utime(folder / "config.json", ns=(was, was))
    assert list(Path(ctx.site.state_dir).rglob("*.txt")) == []


@pytest.mark.parametrize("content", ["{}", "[" * 100_000, '{"program": 5}', "", "x"])
def test_a_foreign_file_in_place_of_an_answer(
    content: str, ctx: Context, runtime_with: Runtime
) -> None:
    command = runtime_with(f"echo '{ANSWER}'")
    Path(saved_answer(ctx, command)).write_text(content)
    assert describe(ctx, RUNTIME, command, SOURCE) == Description("mlx-lm 1.0")


def test_what_is_no_file_in_place_of_an_answer(ctx: Context, runtime_with: Runtime) -> None:
    command = runtime_with(f"echo '{ANSWER}'")
    path = Path(saved_answer(ctx, command))
    os.mkfifo(path)
    assert describe(ctx, RUNTIME, command, SOURCE) is not None
    path.unlink()
    path.mkdir()
    assert describe(ctx, RUNTIME, command, SOURCE) is not None
    assert list(path.parent.iterdir()) == [path]


def saved_answer(ctx: Context, command: list[str]) -> str:
    """The path of the answer about SOURCE; its folder exists, it does not."""
    wanted = {"remote_code": False, "template": "", "vision": False}
    path = ask._answer_path(ctx, RUNTIME, command, SOURCE, wanted)
    os.makedirs(os.path.dirname(path))
    return path
