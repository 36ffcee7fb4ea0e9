"""What the view knows of a host, from record to record and over a lost link."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.errors import LinkLost, LoginRefused
from mlxops.watch.section import LIVE, LOST, REFUSED, Section

ROWS = [{"port": 8100, "state": "ready", "uptime_s": 5.0}, {"port": 8101, "state": "free"}]
GONE = LinkLost("the link broke")


def record(**keys: Any) -> dict[str, Any]:
    return {"event": "watch", "at": "2026-11-22T20:43:17Z", **keys}


@pytest.fixture
def section() -> Section:
    made = Section("studio")
    assert made.take(record(ports=ROWS, memory={"total_bytes": 1}, jobs=[]), 100.0)
    return made


def states(section: Section, now: float = 100.0) -> dict[int, str]:
    return {row["port"]: row["state"] for row in section.result(now)["ports"]}


def test_a_record_changes_only_what_it_names(section: Section) -> None:
    assert section.take(record(ports=[{"port": 8101, "state": "ready"}]), 101.0)
    assert states(section) == {8100: "ready", 8101: "ready"}
    assert section.result(101.0)["memory"] == {"total_bytes": 1}


def test_a_look_without_news_is_a_sign_of_life(section: Section) -> None:
    assert not section.take(record(), 107.0)
    assert section.link.heard_at == 107.0


def test_clocks_go_on_and_stand_still_while_the_link_is_lost(section: Section) -> None:
    assert section.result(103.5)["ports"][0]["uptime_s"] == 8.5
    section.take(record(), 104.0)
    section.lose(GONE, 110.0, 1.0)
    assert section.result(150.0)["ports"][0]["uptime_s"] == 9.0


def test_a_new_connection_begins_anew(section: Section) -> None:
    assert section.lose(GONE, 110.0, 1.0)
    assert section.link.state == LOST and states(section) == {8100: "ready", 8101: "free"}
    assert not section.lose(GONE, 115.0, 2.0)
    assert (section.link.lost_at, section.link.retry_at) == (110.0, 117.0)
    assert section.take(record(ports=[{"port": 8101, "state": "failed"}]), 120.0)
    assert section.link.state == LIVE and states(section) == {8101: "failed"}


def test_a_refused_login_is_not_tried_again_by_itself(section: Section) -> None:
    section.lose(LoginRefused("no"), 110.0, None)
    assert (section.link.state, section.link.retry_at) == (REFUSED, None)


def test_a_job_keeps_its_clock_and_its_rate(section: Section) -> None:
    job = {"job": "j", "port": 8100, "entry": "qwen", "since": "2026-11-22T20:43:07Z"}
    steps = [{"phase": "download", "progress": {"done": n << 30, "total": 8 << 30}} for n in (1, 3)]
    for second, step in enumerate(steps):
        section.take(record(jobs=[{**job, **step}]), 200.0 + second)
    line = section.works["j"].line(201.0, 120)
    assert "qwen" in line and "37 %" in line and "2.15 GB/s" in line and "10" in line
    section.take(record(jobs=[]), 202.0)
    assert section.works == {}


def test_warnings_of_the_host_are_kept_once(section: Section) -> None:
    for _ in range(2):
        section.take({"event": "warning", "message": "the agent cannot be cached"}, 101.0)
    assert [*section.notes] == ["the agent cannot be cached"]
