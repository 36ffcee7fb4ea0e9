"""The time limit of a start: from earlier starts, else from the size of the weights and the disk's
speed."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES
from mlxops.agent.servers.startup_time import (
    StartupEstimate,
    abort_warning,
    estimate_startup,
    record_start,
)

OPENAI, LIGHT = RUNTIMES["mlx-openai-server"], RUNTIMES["mlx_lm.server"]
GB = 1_000_000_000


def entry(start_s: Any = None) -> Entry:
    return Entry("jerry", {**REQUIRED, **({"start_s": start_s} if start_s is not None else {})})


def took(*seconds: float) -> Entry:
    return entry({OPENAI.name: list(seconds)})


def test_the_first_start_goes_by_the_weights() -> None:
    assert estimate_startup(entry(), OPENAI, None, None) == StartupEstimate(None, 300)
    assert estimate_startup(None, OPENAI, 120 * GB, None) == StartupEstimate(None, 900)


def test_a_slow_disk_makes_it_longer_and_a_fast_one_not_shorter() -> None:
    assert estimate_startup(entry(), OPENAI, 100 * GB, 1e8).timeout_s == 300 + 2000
    assert estimate_startup(entry(), OPENAI, 100 * GB, 1e10).timeout_s == 300 + 500


def test_later_ones_go_by_the_starts_before() -> None:
    assert estimate_startup(took(40, 10, 30), OPENAI, 4 * GB, None) == StartupEstimate(30, 120)


def test_what_came_from_the_page_cache_last_time_may_come_from_the_disk_now() -> None:
    assert estimate_startup(took(8), OPENAI, 120 * GB, None) == StartupEstimate(8, 600)
    assert estimate_startup(took(1), OPENAI, 1, None) == StartupEstimate(1, 60)


def test_another_runtime_s_starts_say_nothing() -> None:
    assert estimate_startup(took(8), LIGHT, None, None).expected_s is None
    both = record_start(took(8), LIGHT, 1.5)
    assert both.fields["start_s"] == {OPENAI.name: [8], LIGHT.name: [1.5]}


def test_the_last_five_are_kept() -> None:
    kept = took(1, 2, 3, 4, 5)
    assert record_start(kept, OPENAI, 6.004).fields["start_s"] == {OPENAI.name: [2, 3, 4, 5, 6.0]}


@pytest.mark.parametrize(
    "written",
    [
        "soon",
        7,
        [7],
        {OPENAI.name: "soon"},
        {OPENAI.name: [None, "7", True, -1, 0, 1e300, float("nan"), [7]]},
    ],
)
def test_what_a_hand_wrote_there_is_no_start(written: Any) -> None:
    assert estimate_startup(entry(written), OPENAI, None, None) == StartupEstimate(None, 300)
    assert record_start(entry(written), OPENAI, 5).fields["start_s"] == {OPENAI.name: [5]}


def test_a_start_that_the_runtime_may_end_by_itself_is_told_before() -> None:
    told = abort_warning(OPENAI, StartupEstimate(260, 780), None, None)
    assert told == ("this start may take 260 s, but mlx-openai-server aborts a start after 300 s")
    assert abort_warning(OPENAI, StartupEstimate(None, 900), 100 * GB, 2e8).startswith(
        "this start may take 500 s"
    )
    assert abort_warning(OPENAI, StartupEstimate(20, 60), 100 * GB, 5e9) == ""
    assert abort_warning(LIGHT, StartupEstimate(1000, 3000), None, None) == ""
