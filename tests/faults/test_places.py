"""The places of former violations are places in the code: fast, where the faults themselves are
slow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.sources import ROOT

from .test_faults import KEPT

AGENT = ROOT / "mlxops" / "agent"


@pytest.mark.parametrize("place", sorted({place for _, place, _, _ in KEPT}))
def test_the_function_is_there_and_called_from_that_file(place: str) -> None:
    function, _, file = place.removeprefix(":").partition(" < ")
    definitions = re.compile(rf"def {re.escape(function)}\(")
    assert any(definitions.search(path.read_text()) for path in AGENT.rglob("*.py"))
    if file:
        called = "with " if function == "__exit__" else function
        assert called in Path(AGENT / file).read_text()
