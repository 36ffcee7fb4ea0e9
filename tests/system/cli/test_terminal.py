"""A real terminal of 80 columns: nothing folds, whatever a model is called."""

from __future__ import annotations

import re

from mlxops.render.width import width
from tests.support.studio import Studio, finished
from tests.support.terminal import COLUMNS, Terminal

LONG = "qwen3-30b-a3b-thinking-2507-claude-4.5-sonnet-high-reasoning-distill-qx86-hi-mlx"


def lines_of(studio: Studio, verb: str) -> list[str]:
    screen = Terminal(studio, verb)
    screen.end()
    plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", screen.shown).replace("\r", "\n")
    return [line for line in plain.splitlines() if line.strip()]


def test_tables_fit_and_a_pipe_gets_the_whole_name(known: Studio) -> None:
    known.must("rename", "amber", LONG)
    known.must("load", LONG, known.ports[0])
    for verb in ("status", "list", "jobs"):
        lines = lines_of(known, verb)
        assert max(map(width, lines)) <= COLUMNS, lines
        assert any("qwen3" in line and "…" in line for line in lines), lines
    (row,) = [line for line in lines_of(known, "status") if line.startswith(f"{known.ports[0]} ")]
    assert "ready" in row
    assert LONG in finished(known.start("status")).stdout
