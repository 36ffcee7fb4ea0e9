"""What a look says that the last one did not."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.watch.changes import Changes, rounded

ROW = {"port": 8100, "state": "ready", "rss_bytes": 191 << 30, "uptime_s": 7.0, "latency_ms": 2.0}


def whole(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ports": list(rows), "memory": {"available_bytes": 1 << 30}, "jobs": [], **more}


def test_the_first_record_is_whole_and_the_second_says_only_what_is_new() -> None:
    changes, other = Changes(), {**ROW, "port": 8101}
    assert changes.since_last(whole(ROW, other)) == whole(ROW, other)
    assert changes.since_last(whole(ROW, other)) == {}
    failed = {**other, "state": "failed"}
    assert changes.since_last(whole(ROW, failed)) == {"ports": [failed]}
    assert changes.since_last(whole(ROW, failed, jobs=[{"job": "x"}])) == {"jobs": [{"job": "x"}]}


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        ({"uptime_s": 8.0}, False),
        ({"gone": {"how": "crash", "at": "later"}}, False),
        ({"rss_bytes": (191 << 30) + 4096}, False),
        ({"rss_bytes": 193 << 30}, True),
        ({"latency_ms": 2.2}, False),
        ({"latency_ms": 90.0}, True),
        ({"latency_ms": None}, True),
        ({"requests": 1}, True),
    ],
)
def test_figures_are_news_only_where_a_person_sees_it(change: dict[str, Any], is_news: bool):
    changes = Changes()
    changes.since_last(whole(ROW))
    assert changes.since_last(whole({**ROW, **change})) == (
        {"ports": [{**ROW, **change}]} if is_news else {}
    )


def test_two_neighbouring_ports_with_jobs_are_not_one() -> None:
    changes = Changes()
    changes.since_last(whole(ROW, jobs=[{"job": "x", "port": 8100}]))
    moved = [{"job": "x", "port": 8101}]
    assert changes.since_last(whole(ROW, jobs=moved)) == {"jobs": moved}


def test_figures_are_rounded_to_three_digits() -> None:
    assert [rounded(value) for value in (None, 0, 123456, 0.012345)] == [None, 0, 123000, 0.0123]
