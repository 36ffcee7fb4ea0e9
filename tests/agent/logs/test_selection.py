"""Lines chosen by time and pattern. Runs on Python 3.9 too."""

from __future__ import annotations

import re

import pytest

from mlxops.agent.errors import Usage
from mlxops.agent.logs import selection
from mlxops.agent.logs.selection import Selection, compiled
from mlxops.agent.logs.times import time_of

MOMENT = 1795895411.0  # 2026-11-28T19:50:11Z


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-28T19:50:11Z ready",
        "2026-11-28 20:50:11,720+01:00 - INFO",
        '127.0.0.1 - - [28/Nov/2026:21:50:11 +0200] "GET / HTTP/1.1" 200 -',
        "INFO 2026-11-28T19:50:11.123456Z",
    ],
)
def test_a_time_is_read_as_its_program_wrote_it(line: str) -> None:
    assert time_of(line) == MOMENT


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ready",
        "2026-13-28 19:50:11",
        "2026-11-28 25:50:11",
        "[28/Foo/2026 19:50:11]",
        "x" * 999,
    ],
)
def test_a_line_without_a_time(line: str) -> None:
    assert time_of(line) is None


def test_a_time_far_in_a_line_is_a_part_of_its_text() -> None:
    assert time_of("x" * 200 + " 2026-11-28T19:50:11Z") is None


def test_lines_belong_to_the_one_with_a_time_before_them() -> None:
    lines = ["before any", "2026-11-28T19:00:00Z a", "  of a", "2026-11-28T20:00:00Z b", "  of b"]
    chosen = Selection(since=MOMENT).chosen(lines)
    assert [line.text for line in chosen] == lines[3:]
    assert [line.stamp for line in chosen] == ["2026-11-28T20:00:00Z", None]


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "SEARCH_TIMEOUT_S", 0.1)
    with pytest.raises(Usage, match="takes too long"):
        Selection(pattern=re.compile(r"(a+)+$")).chosen(["a" * 40 + "b"])


@pytest.mark.parametrize("pattern", ["(", "*", "a{99999999999}"])
def test_what_is_no_pattern_is_wrong_usage(pattern: str) -> None:
    with pytest.raises(Usage, match="not a regular expression"):
        compiled(pattern)
