"""docs/screens.md is what the program prints, and nothing in it folds."""

from __future__ import annotations

import pytest

from mlxops.render.width import width
from tests.support.screens import PAGE, page, screens

# A name or a path that is to be copied is never broken.
UNBROKEN = 60


def test_the_page_is_what_the_program_prints() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m tests.support.screens"


@pytest.mark.parametrize(("line", "columns", "text"), [*screens()])
def test_no_line_folds(line: str, columns: int, text: str) -> None:
    wide = [one for one in text.splitlines() if width(one) > columns]
    assert [one for one in wide if max(map(width, one.split())) < UNBROKEN] == [], text
    assert not wide or line.startswith("show "), text
