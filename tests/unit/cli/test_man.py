"""The manual page: every verb, every option, and nothing that roff reads as a request."""

from __future__ import annotations

import pytest

from mlxops.cli.man import escaped, man_page
from mlxops.cli.root import VERBS
from tests.support.sources import ROOT


def test_every_verb_and_exit_status_is_in_it() -> None:
    page = man_page()
    assert [verb for verb in VERBS if f".SS mlxops {verb} " not in page] == []
    readme = (ROOT / "README.md").read_text("utf-8")
    for line in page.partition(".SH EXIT STATUS")[2].partition(".SH FILES")[0].splitlines():
        assert line.startswith((".TP", "\\fB")) or not line or f"| {line}" in readme, line


@pytest.mark.parametrize(
    ("text", "roff"),
    [("--host", "\\-\\-host"), (".dot", "\\&.dot"), ("'quote", "\\&'quote"), ("a\\b", "a\\eb")],
)
def test_what_roff_would_read_is_escaped(text: str, roff: str) -> None:
    assert escaped(text) == roff


def test_the_installed_page_is_current() -> None:
    page = (ROOT / "docs" / "mlxops.1").read_text("utf-8")
    assert page == man_page() + "\n", "write it again: mlxops man > docs/mlxops.1"
