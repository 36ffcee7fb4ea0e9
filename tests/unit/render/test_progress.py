"""Progress: one redrawn line on a terminal, whole lines elsewhere."""

from __future__ import annotations

import io
import re

from mlxops.render.progress import Progress, Speed, bar_text


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def followed(events: list[tuple[float, dict[str, object]]], **how: bool) -> str:
    stream, clock = io.StringIO(), Clock()
    modes = {"terminal": False, "quiet": False, "verbose": False} | how
    progress = Progress(stream, modes["terminal"], modes["quiet"], modes["verbose"], clock)
    for after, event in events:
        clock.now = 100.0 + after
        progress(event)
    progress.close()
    return stream.getvalue()


def download(done: int, total: int = 100 * 10**6) -> dict[str, object]:
    return {
        "event": "progress",
        "phase": "download",
        "done": done,
        "total": total,
        "file": "a.safetensors",
    }


PHASE = {"event": "phase", "phase": "stop", "message": "qwen on 8100"}


def test_phases_are_lines() -> None:
    assert followed([(0, PHASE)]) == "stop: qwen on 8100\n"


def test_quiet_leaves_only_warnings_each_once() -> None:
    warning = {"event": "warning", "message": "no template"}
    events = [(0.0, PHASE), (1.0, download(1)), (2.0, warning), (3.0, warning)]
    assert followed(events, quiet=True) == "warning: no template\n"


def test_log_lines_are_for_the_verbose() -> None:
    events = [(0.0, {"event": "log", "line": "loading\x1b[0m"})]
    assert followed(events) == ""
    assert followed(events, verbose=True) == "  | loading\\x1b[0m\n"


def test_off_a_terminal_a_download_is_few_whole_lines() -> None:
    events = [(i * 1.0, download(i * 10**6)) for i in range(1, 101)]
    lines = followed(events).splitlines()
    assert 4 <= len(lines) <= 5
    assert "\r" not in "".join(lines)
    assert " 100 %" in lines[-1]


def test_on_a_terminal_the_bar_is_redrawn_in_one_line_and_taken_away() -> None:
    text = followed(
        [(0.0, download(1 * 10**6)), (0.01, download(2 * 10**6)), (1.0, download(50 * 10**6))],
        terminal=True,
    )
    assert text.count("\r\x1b[K[") == 2
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")


def test_a_line_comes_after_the_bar_is_taken_away() -> None:
    text = followed([(0.0, download(1 * 10**6)), (1.0, PHASE)], terminal=True)
    assert text.endswith("\r\x1b[Kstop: qwen on 8100\n")


def test_a_long_wait_shows_its_age_on_a_terminal_only() -> None:
    events = [(0.0, PHASE), (65.0, {"event": "ping"})]
    assert "stop 1 m 05 s" in followed(events, terminal=True)
    assert followed(events) == "stop: qwen on 8100\n"


def on(port: int, event: dict[str, object]) -> dict[str, object]:
    return {**event, "port": port}


WAIT = {"event": "phase", "phase": "wait", "message": "loading"}


def test_each_line_of_several_jobs_names_its_port() -> None:
    events = [
        (0.0, on(8100, PHASE)),
        (1.0, on(8101, download(50 * 10**6))),
        (2.0, on(8101, {"event": "warning", "message": "no template"})),
        (3.0, on(8100, {"event": "log", "line": "loading"})),
        (4.0, on(8100, {"event": "end", "ok": True, "message": "ready"})),
        (5.0, on(8101, {"event": "end", "ok": False, "message": "no space"})),
    ]
    lines = followed(events, verbose=True).splitlines()
    assert lines[0] == "8100 stop: qwen on 8100"
    assert lines[1].startswith("8101 [############............]   50 %")
    assert lines[2:] == [
        "warning: 8101 no template",
        "  8100 | loading",
        "8100 done: ready",
        "8101 failed: no space",
    ]


def test_one_line_of_a_terminal_shows_the_jobs_that_run_side_by_side() -> None:
    events = [
        (0.0, on(8100, WAIT)),
        (1.0, on(8101, {"event": "phase", "phase": "download", "message": "o/a"})),
        (2.0, on(8101, download(20 * 10**6))),
        (4.0, on(8101, download(60 * 10**6))),
        (5.0, on(8101, {"event": "end", "ok": True, "message": "ready"})),
        (9.0, {"event": "ping"}),
    ]
    text = followed(events, terminal=True)
    assert text.count("\n") == 1 and "8101 done: ready\n" in text
    drawn = text.split("\r\x1b[K")
    assert "8100 wait 4.0 s   8101 download 60 % of 100 MB ETA 2.0 s" in drawn
    assert "8100 wait 9.0 s" in drawn
    assert all(len(line) < 80 for part in drawn for line in part.splitlines())


def test_the_phases_of_many_jobs_are_lines_for_scripts_and_the_verbose() -> None:
    events = [(0.0, on(8100, WAIT)), (1.0, on(8101, WAIT))]
    lines = "8100 wait: loading\n8101 wait: loading\n"
    assert followed(events) == lines
    assert followed(events, terminal=True, verbose=True) == lines
    assert "loading" not in followed(events, terminal=True)


def test_two_jobs_keep_their_own_speed_and_age() -> None:
    events = [
        (0.0, on(8100, download(0, 100))),
        (1.0, on(8101, download(0, 900))),
        (2.0, on(8100, download(50, 100))),
        (40.0, on(8101, download(900, 900))),
    ]
    drawn = followed(events, terminal=True)
    assert "8100  50 % of 100 B ETA 2.0 s   8101  0 % of 900 B" in drawn
    assert "8101  100 % of 900 B ETA 0.0 s" in drawn


def test_events_nobody_knows_are_passed_over() -> None:
    assert followed([(0, {"event": "from the future"}), (0, {})]) == ""


def test_the_bar_tells_bytes_rate_and_time_left() -> None:
    text = bar_text(3 * 10**9, 4 * 10**9, 125e6, "model.safetensors")
    assert re.split(r"  +", text) == [
        "[##################......]",
        "75 %",
        "3.00 GB of 4.00 GB",
        "125 MB/s",
        "ETA 8.0 s",
        "model.safetensors",
    ]


def test_a_bar_without_a_total_or_a_rate_shows_dashes() -> None:
    assert bar_text(5, None, None, None) == f"[{'.' * 24}]    - %  5 B of -  -  ETA -"
    assert "100 %" in bar_text(7, 7, 0.0, None)


def test_the_rate_leaves_out_what_a_resumed_download_had_already() -> None:
    speed = Speed()
    speed.add(0.0, 90 << 30)
    assert speed.bytes_per_s() is None
    speed.add(2.0, (90 << 30) + 2048)
    assert speed.bytes_per_s() == 1024.0


def test_the_rate_is_that_of_the_last_seconds() -> None:
    speed = Speed()
    for second in range(60):
        speed.add(float(second), second * 1000 if second < 40 else 40_000)
    assert speed.bytes_per_s() == 0.0
