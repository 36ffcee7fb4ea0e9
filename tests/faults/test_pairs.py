"""A sample of two verbs at once, at every kind of step. All of them: `python -m tests.faults.pairs`."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from .campaign import sample
from .pairs import OTHERS, PAUSED, stages, table

SAMPLED, SEED = 100, 20


def test_two_at_once_leave_a_host_that_reconcile_makes_true(tmp_path: Path, capsys: Any) -> None:
    with stages(4, tmp_path) as farm:
        meetings = farm.meetings()
        outcomes = farm.meet(sample(meetings, SAMPLED, random.Random(SEED)))
    with capsys.disabled():
        print(f"\n{len(meetings)} interleavings, of which\n" + table(outcomes))
    assert [str(outcome) for outcome in outcomes if outcome.violations] == []
    assert {(m.first, m.other) for m in meetings} == {(first, other) for first in PAUSED for other in OTHERS}
    assert sum(outcome.met for outcome in outcomes) >= SAMPLED * 4 // 5
