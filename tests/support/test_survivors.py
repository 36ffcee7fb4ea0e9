"""Processes left by a test are found and ended, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import survivors


@pytest.mark.slow
def test_a_process_in_the_folder_is_found_and_ended(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=tmp_path)
    assert list(survivors.left_behind(tmp_path)) == [left.pid]
    assert left.wait(20) != 0


def test_the_ancestors_of_the_tests_are_spared_though_they_name_the_folder(tmp_path: Path) -> None:
    root = str(Path(survivors.__file__).parents[2])
    program = (
        f"import sys, pathlib; sys.path.insert(0, {root!r}); from tests.support import survivors; "
    )
    program += "print(survivors.living(pathlib.Path(sys.argv[1])))"
    inner = f'{sys.executable} -c "$1" "$2"; true'
    told = subprocess.run(
        ["sh", "-c", inner, "sh", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "{}\n"
    assert os.getpid() in set(survivors.our_line())


def test_a_folder_whose_name_only_begins_alike_is_another(tmp_path: Path) -> None:
    other = tmp_path / "a0"
    (tmp_path / "a").mkdir()
    other.mkdir()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(other)])
    try:
        assert survivors.living(tmp_path / "a") == {}
        assert list(survivors.living(other)) == [process.pid]
    finally:
        process.kill()
        process.wait()
