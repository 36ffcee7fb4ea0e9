"""Concurrent writers over every way lose no edit. With 32 of them: `python -m
tests.faults.race`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .race import WAYS, race

pytestmark = pytest.mark.openssh


@pytest.mark.slow
def test_writers_by_ssh_local_mode_and_cron_lose_no_edit(tmp_path: Path) -> None:
    found = race(tmp_path, writers=9, edits=6)
    assert found.lost == [] and found.refused == 0
    assert {way: len(found.seconds[way]) for way in WAYS} == dict.fromkeys(WAYS, 18)
    assert found.waits
