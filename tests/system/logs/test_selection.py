"""`logs` by time, by pattern, of several ports, with times, and of a model whose start failed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, finished


@pytest.fixture
def local(make_studio: Callable[..., Studio], fake_runtime: FakeRuntime) -> Studio:
    runtime: dict[str, Any] = {"name": "mlx-openai-server", "command": fake_runtime.command}
    return make_studio(None, runtime)


def write_log(studio: Studio, port: int, *lines: str, aside: str = "") -> Path:
    path = studio.state_dir / "logs" / f"{port}.log{aside}"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def stamped(age_s: float, text: str) -> str:
    """A line as a server logs it, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - age_s)) + f" - {text}"


def shown(studio: Studio, *words: object) -> list[str]:
    answer = finished(studio.start("logs", *words))
    assert answer.exit == 0, answer
    return answer.stdout.splitlines()


def test_since_takes_the_lines_of_a_time_and_what_belongs_to_them(local: Studio) -> None:
    port = local.ports[0]
    lines = [stamped(7200, "old"), "  of the old one", stamped(300, "new"), "  of the new one"]
    write_log(local, port, *lines)
    assert shown(local, port, "--since", "10m") == lines[2:]
    assert shown(local, port, "--since", "3h", "-n", 3) == lines[1:]
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() - 3600))
    assert shown(local, port, "--since", moment) == lines[2:]
    assert shown(local, port, "--since", "yesterday") == lines
    none = finished(local.start("logs", port, "--since", "1s"))
    assert (none.exit, none.stdout) == (0, "") and "no such line" in none.stderr


def test_a_log_without_times_is_shown_whole_and_that_is_said(local: Studio) -> None:
    write_log(local, local.ports[0], "one", "two")
    answer = finished(local.start("logs", local.ports[0], "--since", "10m"))
    assert answer.stdout == "one\ntwo\n"
    assert "has a time, so --since is ignored" in answer.stderr


def test_a_pattern_is_searched_in_the_text_without_its_colours(local: Studio) -> None:
    port = local.ports[0]
    write_log(local, port, "\x1b[31mERR\x1b[0mOR a", "fine", "ERROR b", "ERROR c")
    assert shown(local, port, "--grep", "^ERROR [ab]$") == ["ERROR a", "ERROR b"]
    assert shown(local, port, "--grep", "ERROR", "-n", 1) == ["ERROR c"]
    refused = local.mlxops("logs", port, "--grep", "(")
    assert refused.exit == 2 and refused.error["kind"] == "Usage"


def test_times_are_those_that_the_lines_carry(
    local: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.env["TZ"] = "Asia/Tokyo"
    write_log(
        local,
        local.ports[0],
        "2026-11-28 19:50:11,720 - INFO - ready",
        "no time",
        '127.0.0.1 - - [28/Nov/2026 19:50:20] "GET /health HTTP/1.1" 200 -',
        "2026-11-28T10:50:30Z in UTC",
    )
    first, second, third, fourth = shown(local, local.ports[0], "-t")
    assert first.startswith("2026-11-28T10:50:11Z 2026-11-28 19:50:11,720")
    assert second == " " * 21 + "no time"
    assert third.startswith("2026-11-28T10:50:20Z 127.0.0.1")
    assert fourth.startswith("2026-11-28T10:50:30Z 2026-11-28T10:50:30Z")
    (row,) = [local.must("logs", local.ports[0])]
    assert row["times"][:2] == ["2026-11-28T10:50:11Z", None]


def test_several_ports_are_told_apart_and_one_without_a_log_hides_no_other(local: Studio) -> None:
    first, second, third = local.ports
    write_log(local, first, "a")
    write_log(local, second, "b", "c")
    assert shown(local, f"{first}-{second}", "-n", 1) == [f"{first} | a", f"{second} | c"]
    answer = finished(local.start("logs", first, third))
    assert answer.exit == 1 and answer.stdout == f"{first} | a\n"
    assert f"no server has been started on port {third} yet" in answer.stderr


@pytest.mark.slow
def test_several_logs_are_followed_together_and_filtered(local: Studio, ctrl_c: None) -> None:
    first, second, _ = local.ports
    paths = [write_log(local, port, "ERROR old", "fine") for port in (first, second)]
    words = ("logs", first, second, "-f", "--grep", "ERROR", "-t")
    process = local.start(*words)
    assert process.stdout
    seen = [process.stdout.readline() for _ in range(2)]
    assert sorted(line.split(" | ")[0] for line in seen) == [str(first), str(second)]
    for path in paths:
        with path.open("a") as log:
            log.write("fine\nERROR new\n")
    seen = [process.stdout.readline() for _ in range(2)]
    assert all(line.endswith("Z ERROR new\n") for line in seen), seen
    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.slow
def test_the_log_of_a_model_that_did_not_start_is_found_by_its_name(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    """Its port has the previous model back, whose log is the current one."""
    port = known.ports[0]
    known.must("load", "amber", port)
    fake_runtime.behaves("tiny--jade", prints="jade is here", die_after_s=0.1, load_s=20)
    failed = known.mlxops("load", "jade", port, "--replace")
    assert failed.exit == 8 and known.assignments() == {"amber": port}
    assert "jade is here" in known.must("logs", "jade")["lines"]
    assert "jade is here" not in known.must("logs", "amber")["lines"]
    os.unlink(known.state_dir / "logs" / f"{port}.log.1")
    gone = known.mlxops("logs", "jade")
    assert gone.exit == 2 and "no log of an earlier start is kept" in gone.error["message"]
