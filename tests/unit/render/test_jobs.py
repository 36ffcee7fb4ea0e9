"""Jobs, locks and times, as a person reads them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlxops.render.format import age, ago, with_relative_times
from mlxops.render.jobs import job_outcome, job_table, lock_table
from mlxops.render.style import Style
from mlxops.render.width import width
from tests.support.statusrows import PLAIN


def job(minutes: float, state: str, port: int = 8100, **more: Any) -> dict[str, Any]:
    """A job that began so many minutes ago and took 12 s."""
    short, now = f"{port}-{int(minutes)}", time.time()
    fields = {
        "job": f"20261128T080000-{short}",
        "short": short,
        "state": state,
        "port": port,
        "why": f"load a {port}",
        "who": "me",
        "from": "mini",
        "phase": "wait",
        "message": None,
        "since": utc(now - 60 * minutes),
        "ended": None if state in ("running", "died") else utc(now - 60 * minutes + 12),
    }
    return {**fields, **more}


def utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def rows(*jobs: dict[str, Any], style: Style = PLAIN, **more: Any) -> list[str]:
    return job_table({"jobs": [*jobs]}, style, **more).splitlines()


def bare(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_a_job_has_its_age_its_duration_and_its_short_id() -> None:
    lines = rows(job(3.5, "done"), job(300, "cancelled", message="cancelled; a serves"))
    assert bare(lines) == [
        "STATE WHAT AGE DURATION PHASE WHO JOB",
        "done load a 8100 3 min 12 s - me@mini 8100-3",
        "cancelled load a 8100 5 h 12 s - me@mini 8100-300",
    ]


def test_a_running_job_has_its_phase_and_progress_and_a_killed_one_its_last_phase() -> None:
    download = job(1.5, "running", phase="download", progress={"done": 41, "total": 100})
    assert bare(rows(download, job(9, "died", phase="stop")))[1:] == [
        "running load a 8100 1 min - download 41 % me@mini 8100-1",
        "killed load a 8100 9 min - stop me@mini 8100-9",
    ]


def test_who_is_unknown_or_half_known() -> None:
    lines = rows(job(1, "done", who=None, **{"from": None}), job(2, "done", **{"from": None}))
    assert [line.split()[-2] for line in lines[1:]] == ["-", "me"]


def test_jobs_fit_a_terminal_and_failures_are_explained_below() -> None:
    failed = job(1, "failed", why="load " + "long" * 30 + " 8100", message="died \x1b[2J")
    lines = rows(failed, job(2, "done"), style=Style(width=80))
    assert max(map(width, lines[:3])) <= 80 and lines[1].split()[0] == "failed"
    assert lines[3:] == ["", f"8100-1 ({failed['why']}): died \\x1b[2J"]


def test_a_failure_is_told_until_a_later_job_succeeds_or_a_day_has_passed() -> None:
    mended = job(9, "failed", message="mended since")
    old = job(60 * 25, "failed", port=8101, message="long ago")
    news = job(5, "failed", port=8102, message="open")
    listed = [job(1, "done"), news, mended, job(20, "done", port=8102), old]
    text = "\n".join(rows(*listed))
    assert "open" in text and "mended since" not in text and "long ago" not in text
    for everything in (rows(*listed, everything=True), rows(*listed, style=Style(wide=True))):
        told = "\n".join(everything)
        assert "open" in told and "mended since" in told and "long ago" in told


def test_the_older_jobs_are_counted() -> None:
    assert job_table({"jobs": [job(1, "done")], "more": 4}, PLAIN).splitlines()[-1] == (
        "4 older: mlxops jobs -n 5"
    )
    assert job_table({"jobs": []}, PLAIN) == "No jobs yet."
    assert job_table({"jobs": []}, PLAIN, about="8109") == "No jobs of 8109 yet."


def test_locks_have_their_age() -> None:
    lock = {**job(3.5, "running"), "lock": "port", "held": True}
    lines = lock_table({"locks": [lock, {**lock, "held": False}]}, PLAIN).splitlines()
    assert bare(lines) == ["LOCK WHY WHO AGE PHASE", "port 8100 load a 8100 me@mini 3 min wait"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-7200, "in 2 h"),
        (-60, "in 1 min"),
        (-59, "0 s ago"),
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86400, "1 d ago"),
        (864000, "10 d ago"),
    ],
)
def test_how_long_ago(seconds: int, told: str) -> None:
    assert ago("1970-01-12T13:46:40Z", lambda: 1000000 + seconds) == told
    assert age("1970-01-12T13:46:40Z", lambda: 1000000 + max(0, seconds)) == (
        told.removesuffix(" ago") if seconds >= 0 else "0 s"
    )
    assert (ago(None), ago("soon"), ago("\x1b"), age(None)) == ("-", "soon", "\\x1b", "-")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("load a by al since 1970-01-12T13:46:40Z", "load a by al (3 min ago)"),
        ("by al from vm at 1970-01-12T13:46:40Z) was", "by al from vm 3 min ago) was"),
        ("1970-01-12T13:46:40Z: it began", "3 min ago: it began"),
        ("wanted since 1970-01-12", "wanted since 1970-01-12"),
    ],
)
def test_times_in_the_host_s_texts_are_told_as_a_person_says_them(text: str, told: str) -> None:
    assert with_relative_times(text, lambda: 1000180.0) == told


@pytest.mark.parametrize(
    ("state", "message", "told"),
    [
        ("cancelled", "cancelled; the port is empty", "cancelled; the port is empty"),
        ("failed", "no space", "failed: no space"),
        ("done", None, "done"),
    ],
)
def test_the_end_of_a_job_is_told_once(state: str, message: str | None, told: str) -> None:
    job = {"why": "load jade 8103", "state": state, "message": message}
    assert job_outcome(job, PLAIN) == f"load jade 8103: {told}"
