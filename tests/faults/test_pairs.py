"""Two commands at once, a few interleavings of each pair. All of them: `python -m
tests.faults.pairs`."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from .meeting import OTHERS, PAUSED
from .pairs import stages, table

pytestmark = pytest.mark.slow

EACH, SEED = 2, 20


def test_two_at_once_leave_a_host_that_reconcile_makes_true(tmp_path: Path, capsys: Any) -> None:
    with stages(4, tmp_path) as farm:
        outcomes = farm.meet(farm.few(EACH, random.Random(SEED)))
    with capsys.disabled():
        print("\n" + table(outcomes))
    assert [str(outcome) for outcome in outcomes if outcome.violations] == []
    assert {(o.meeting.first, o.meeting.other) for o in outcomes} == {
        (one, two) for one in PAUSED for two in OTHERS
    }
    assert sum(outcome.met for outcome in outcomes) >= len(outcomes) * 4 // 5
