"""The lines of the view at several sizes."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.errors import LinkLost, LoginRefused
from mlxops.render.style import Style
from mlxops.render.width import width
from mlxops.watch.layout import Line, Options, Place, compose, first_line
from mlxops.watch.section import Section

NOW = 1000.0
LONG = "Qwen3-Coder-480B-A35B-Instruct-MLX-4bit-with-a-very-long-name"


def row(port: int, **keys: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("entry", "drift", "wanted", "served_model", "rss_bytes", "latency_ms"))
    return {"port": port, "slot_name": f"slot-{port}", "state": "free", **empty, **keys}


def ready(port: int, entry: str) -> dict[str, Any]:
    figures = {"rss_bytes": 191 << 30, "latency_ms": 12.0, "uptime_s": 7440.0, "requests": 2}
    return row(port, entry=entry, state="ready", served_model=f"slot-{port}", **figures)


def section(name: str = "studio", ports: int = 10) -> Section:
    made = Section(name, "thestudio@studio")
    rows = [ready(8100, LONG), *(row(8100 + n) for n in range(1, ports))]
    drift = {"drift": "stale", "port": 8101, "entry": "jade", "reason": "its server is gone"}
    memory = {"total_bytes": 512 << 30, "available_bytes": 200 << 30, "wired_limit_bytes": None}
    events = [{"state": "done", "why": "load jade 8101", "who": "anna", "ended": None}]
    job = {"job": "j", "port": 8102, "entry": "topaz", "phase": "wait", "step": "loading"}
    far = {"progress": {"done": 42 << 30, "total": 100 << 30}, "since": "2026-11-22T20:43:07Z"}
    record = {"ports": rows, "drift": [drift], "memory": memory, "events": events}
    at = {"event": "watch", "at": "2026-11-22T20:43:17Z"}
    made.take({**at, **record, "jobs": [{**job, **far}]}, NOW - 1)
    return made


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = compose([section()], Options(Style(colour=True, width=columns), 2.0), NOW)
    assert max(width(text) for text in texts(lines)) <= columns


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_everything_a_person_needs_is_there(columns: int) -> None:
    lines = compose([section()], Options(Style(width=columns), 2.0), NOW)
    whole = "\n".join(texts(lines))
    for part in ("studio", "updated 1 s ago", "312 GiB of 512 GiB used", "PORT", "ENTRY", "STATE"):
        assert part in whole
    assert "8102 topaz" in whole and "42 %" in whole
    assert "stale 8101 jade: its server is gone" in whole and "next: mlxops load jade" in whole
    assert "load jade 8101 by anna: done" in whole
    assert ("…" in whole) == (columns < 200) and "-o wide" not in whole


def test_an_ordinary_host_fits_the_smallest_terminal() -> None:
    assert len(compose([section()], Options(Style(width=80), 2.0), NOW)) <= 23


def test_each_port_can_be_found_by_its_line() -> None:
    lines = compose([section(), section("attic", 2)], Options(Style(width=80), 2.0), NOW)
    found = [line.place for line in lines if line.place]
    assert found[:2] == [Place("studio", 8100), Place("studio", 8101)] and len(found) == 12
    assert all(str(line.place.port) in line.text for line in lines if line.place)


def test_a_lost_link_greys_what_was_known_and_hides_no_other_host() -> None:
    lost = section()
    lost.lose(LinkLost("no data from studio for 18 s"), NOW - 12, 10.0)
    lines = compose([lost, section("attic")], Options(Style(width=80), 2.0), NOW)
    assert "link lost 12 s ago, reconnecting" in lines[0].text
    assert "no data from studio for 18 s" in lines[1].text
    grey = {line.place.host: line.stale for line in lines if line.place}
    assert grey == {"studio": True, "attic": False}


def test_a_refusal_says_what_to_do() -> None:
    refused = Section("studio")
    refused.lose(LoginRefused("the login was rejected", "ssh-copy-id studio"), NOW, None)
    lines = texts(compose([refused], Options(Style(width=80), 2.0), NOW))
    assert lines[0].endswith("refused") and "  hint: ssh-copy-id studio" in lines
    assert "  R tries again" in lines


def test_a_host_that_no_longer_looks_is_noticed() -> None:
    lines = compose([section()], Options(Style(width=80), 2.0), NOW + 20)
    assert "no update for 21 s" in lines[0].text


@pytest.mark.parametrize(
    ("selected", "start", "first"),
    [(0, 0, 0), (0, 30, 0), (99, 0, 90), (50, 0, 43), (50, 60, 48), (50, 45, 45)],
)
def test_the_selected_line_stays_visible(selected: int, start: int, first: int) -> None:
    lines = [Line(str(n), place=Place("studio", n)) for n in range(100)]
    assert first_line(lines, Place("studio", selected), start, 10) == first


def test_warnings_of_the_host_stand_below_the_problems() -> None:
    warned = section()
    warned.take({"event": "watch", "at": NOW, "warnings": ["jade: unknown key 'prt'"]}, NOW)
    lines = texts(compose([warned], Options(Style(width=80), 2.0), NOW))
    assert "warning: jade: unknown key 'prt'" in lines
