"""The help of a runtime is cached and bounded, and reading it can be cancelled."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlxops.agent.errors import Failed, Interrupted
from mlxops.agent.programs.find import MAX_SAVED_ANSWERS, help_text
from mlxops.agent.runtimes.table import RUNTIMES

LIGHT = RUNTIMES["mlx_lm.server"]


def program(folder: Path, text: str) -> list[str]:
    path = folder / "mlx_lm.server"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return [str(path)]


def test_the_answers_of_programs_that_changed_are_pruned(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for version in range(MAX_SAVED_ANSWERS + 5):
        words = program(tmp_path, f"echo '  --port PORT {version}'\n# {'x' * version}\n")
        assert "--port" in help_text(LIGHT, words, str(state))
    kept = list((state / "help").iterdir())
    assert len(kept) == MAX_SAVED_ANSWERS
    assert any(f"PORT {MAX_SAVED_ANSWERS + 4}\n" in path.read_text() for path in kept)


def test_asked_afresh_a_program_that_starts_no_longer_is_found_out(tmp_path: Path) -> None:
    state, gone = str(tmp_path / "state"), tmp_path / "dep"
    words = program(tmp_path, f"[ -e {gone} ] && echo '  --port PORT'\n")
    gone.touch()
    assert "--port" in help_text(LIGHT, words, state)
    gone.unlink()
    assert "--port" in help_text(LIGHT, words, state)
    with pytest.raises(Failed, match="does not show the help of a model server"):
        help_text(LIGHT, words, state, fresh=True)


def test_a_cancel_ends_the_program_that_is_asked(tmp_path: Path) -> None:
    began = time.monotonic()
    words = program(tmp_path, f"echo $$ >{tmp_path}/pid; sleep 60\n")

    def check() -> None:
        if time.monotonic() - began > 0.3:
            raise Interrupted("cancelled")

    with pytest.raises(Interrupted):
        help_text(LIGHT, words, str(tmp_path), check=check)
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_program_that_lists_no_options_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(
        Failed, match=r"does not show the help of a model server \(status 3: no\)"
    ) as refused:
        help_text(LIGHT, program(tmp_path, "echo no; exit 3\n"), str(tmp_path))
    assert refused.value.fields["output"] == "no\n"
