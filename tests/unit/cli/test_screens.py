"""docs/screens.md is what the program prints, and nothing in it folds."""

from __future__ import annotations

import pytest

from mlxops.render.width import width
from tests.support.screens import PAGE, page, screens


def test_the_page_is_what_the_program_prints() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m tests.support.screens"


@pytest.mark.parametrize(("line", "columns", "text"), [*screens()])
def test_no_line_folds(line: str, columns: int, text: str) -> None:
    paths = [word for word in text.split() if word.startswith("/")]
    lines = [one for one in text.splitlines() if not any(path in one for path in paths)]
    assert lines and max(map(width, lines)) <= columns, text
