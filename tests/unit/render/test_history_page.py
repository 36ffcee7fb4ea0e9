"""The page of `history --html`: what ran when, its size, and that all text is escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from mlxops.render.page.chart import area, tick_times
from mlxops.render.page.document import history_page, requests
from mlxops.render.page.timeline import Interval, Span, failures, intervals
from tests.support.historyrows import NOW, result, row, weeks

SPAN = Span(NOW - 1000, NOW)
VOID = {"meta"}


def moved(name: str) -> list[dict[str, Any]]:
    return [{"entry": name, "field": "port", "before": None, "after": 8100}]


def load(at: float, name: str, before: str | None = None, **more: Any) -> dict[str, Any]:
    fields = {"entry": name, "before": before, "after": name, "changes": moved(name), **more}
    return row(NOW + at, **fields)


def shown(*rows: dict[str, Any]) -> list[tuple[str, float, float, bool, bool]]:
    found = intervals(sorted(rows, key=lambda one: str(one["at"]), reverse=True), SPAN)
    return [(i.entry, i.start - NOW, i.end - NOW, i.running, i.lost) for i in found]


def test_a_swap_ends_one_model_and_the_last_one_still_runs() -> None:
    assert shown(load(-900, "a"), load(-500, "b", "a")) == [
        ("a", -888, -500, False, False),
        ("b", -488, 0, True, False),
    ]


def test_an_unload_and_a_loss_end_it_and_what_was_there_before_the_history_is_known() -> None:
    gone = {"after": None, "changes": moved("a")}
    unload = row(NOW - 700, what="unload", before="a", **gone)
    lost = row(NOW - 100, what="lost", before="b", **gone)
    assert shown(unload, load(-500, "b"), lost) == [
        ("a", -1000, -688, False, False),
        ("b", -488, -88, False, True),
    ]


def test_a_failed_load_leaves_what_the_registry_says_it_left() -> None:
    first = load(-900, "a")
    early = row(NOW - 700, outcome="failed", entry="b", after=None)
    assert shown(first, early) == [("a", -888, 0, True, False)]
    rolled_back = load(-700, "b", "a", outcome="failed", after="a")
    assert shown(first, rolled_back) == [
        ("a", -888, -700, False, False),
        ("a", -688, 0, True, False),
    ]
    emptied = load(-700, "b", "a", outcome="failed", after=None)
    assert shown(first, emptied) == [("a", -888, -700, False, False)]
    assert [one["outcome"] for one in failures([first, emptied])] == ["failed"]


def test_requests_are_counted_over_restarts_and_never_invented() -> None:
    assert requests([]) is None and requests([(1, "a", 5, None)]) is None
    counts = [(1, "a", 5, 10), (2, "a", 5, 14), (3, "a", 5, 2), (4, None, None, None)]
    assert requests([*counts, (5, "b", 5, 7)]) == 4 + 2 + 7


def test_a_chart_breaks_where_nothing_ran() -> None:
    points = [(NOW - 900, 1.0), (NOW - 800, 2.0), (NOW - 700, None), (NOW - 100, 1.0)]
    drawn = area(points, SPAN, 2.0, 'memory "x"')
    assert drawn.count("<polygon") == 2 and 'aria-label="memory &quot;x&quot;"' in drawn
    assert 'points="100,50 200,0 200,0"' in drawn


@pytest.mark.parametrize("seconds", [60, 3600, 86400, 14 * 86400, 400 * 86400, 4000 * 86400])
def test_the_axis_has_a_few_ticks(seconds: int) -> None:
    ticks = tick_times(Span(NOW - seconds, NOW))
    assert len(ticks) <= 15 and (seconds < 3600 or len(ticks) >= 2)
    assert all(NOW - seconds <= at <= NOW for at, _ in ticks)


class Checker(HTMLParser):
    """Every tag is closed in order; `tags` are those opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> set[str]:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker.tags


@pytest.mark.parametrize("count", [0, 1, 120, 5000])
def test_a_page_is_whole_small_and_without_scripts(count: int) -> None:
    page = history_page(weeks(count, days=3), "studio", NOW)
    assert not check(page) & {"script", "link", "img", "iframe", "base", "object"}
    assert len(page.encode()) < 2_000_000
    outside = re.search(r"https?:|url\(|@import|//[a-z]", page)
    assert outside is None, outside


def test_the_largest_page_with_the_longest_names_stays_below_two_megabytes() -> None:
    made = weeks(5000, ports=64)
    for one in made["changes"]:
        for key in ("entry", "before", "after", "reason", "who", "from"):
            one[key] = one[key] and f"{one[key]}<{'&' * 500}"
    page = history_page(made, "studio", NOW)
    check(page)
    assert len(page.encode()) < 2_000_000 and "more are left out" in page


def test_text_of_any_kind_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'&\x1b[31m\u202e\ud800"
    rows = [load(-900, evil, who=evil, reason=evil, what=evil), load(-500, evil, outcome="failed")]
    made = {**result(rows), "slots": {"8100": evil}}
    page = history_page(made, evil, NOW)
    assert "script" not in check(page) and "\x1b" not in page and "\u202e" not in page
    page.encode()


def test_an_interval_is_a_value() -> None:
    one = Interval(port=8100, entry="a", start=1.0, end=2.0)
    assert one == Interval(port=8100, entry="a", start=1.0, end=2.0) and not one.running
