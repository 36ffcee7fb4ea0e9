"""The marks that an installed mlx-lm looks for in answers."""

from __future__ import annotations

from pathlib import Path

import mlx_lm
import pytest

from mlxops.agent.formats.marks import ALL_MARKS
from mlxops.agent.programs.marks import installed_marks

REAL = str(Path(mlx_lm.__file__).parent.parent)


def parsers(folder: Path, **files: str) -> tuple[str, ...]:
    place = folder / "mlx_lm/tool_parsers"
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    return installed_marks([str(folder)])


def test_the_real_mlx_lm_tells_its_marks():
    found = installed_marks([REAL])
    assert {"<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<think>", "</think>"} <= {*found}


def test_our_table_knows_every_mark_of_the_real_one():
    """A new family in mlx-lm belongs into the table: the other runtimes leak its marks."""
    unknown = [mark for mark in installed_marks([REAL]) if not any(m in mark for m in ALL_MARKS)]
    assert unknown == []


def test_a_parser_of_its_own_is_read_too(tmp_path: Path):
    new = 'tool_call_start: str = "<new:call>"\ntool_call_end = ""\nother = "<no>"\n'
    assert parsers(tmp_path, new=new) == ("<new:call>",)


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "\0", "tool_call_start = start()", 'tool_call_start = "a\\nb"', ""]
)
def test_an_odd_parser_tells_nothing(tmp_path: Path, text: str):
    assert parsers(tmp_path, odd=text, good='tool_call_start = "<ok>"') == ("<ok>",)


def test_without_mlx_lm_there_are_none(tmp_path: Path):
    assert installed_marks([]) == () == installed_marks([str(tmp_path)])
