"""Progress: one redrawn line on a terminal, whole lines elsewhere."""

from __future__ import annotations

import io
import re
import threading

import pytest

from mlxops.render.progress import Progress
from mlxops.render.width import width as columns
from mlxops.render.work import Speed, Work

Event = dict[str, object]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def followed(events: list[tuple[float, Event]], **how: bool) -> str:
    stream, clock = io.StringIO(), Clock()
    modes = {"terminal": False, "quiet": False, "verbose": False} | how
    progress = Progress(stream, modes["terminal"], modes["quiet"], modes["verbose"], clock)
    for after, event in events:
        clock.now = 100.0 + after
        progress.tick() if event == TICK else progress(event)
    progress.close()
    return stream.getvalue()


def drawn(events: list[tuple[float, Event]]) -> list[str]:
    """What the redrawn line showed, one after the other."""
    text = followed(events, terminal=True)
    assert "\n" not in text and text.endswith("\r\x1b[K")
    return text.split("\r\x1b[K")[1:-1]


def moved(done: int, total: int = 100 * 10**6, phase: str = "download") -> Event:
    return {"event": "progress", "phase": phase, "done": done, "total": total, "port": 8100}


def phase(name: str, message: str, **more: object) -> Event:
    return {"event": "phase", "phase": name, "message": message, "port": 8100, **more}


TICK: Event = {}
GIB = 1 << 30
JOB: Event = {"event": "job", "job": "J", "port": 8100, "entry": "jade"}
STOP = phase("stop", "stopping amber")
WAIT = phase("wait", "waiting for the server, usually 9 s", usual_s=9.0)
END: Event = {"event": "job_end", "port": 8100}


def test_elsewhere_phases_are_lines_with_the_port_and_the_model() -> None:
    assert followed([(0, JOB), (0, STOP), (1, WAIT)]) == (
        "8100 jade: stopping amber\n8100 jade: waiting for the server, usually 9 s\n"
    )


def test_a_check_that_the_job_repeats_is_shown_once_and_as_a_part_of_it() -> None:
    check: Event = {"event": "phase", "phase": "preflight", "message": "asking the Hub for o/a"}
    assert followed([(0, check), (1, JOB), (1, check), (2, STOP)]) == (
        "asking the Hub for o/a\n8100 jade: stopping amber\n"
    )
    assert drawn([(0, check), (1, JOB), (1, check)])[-1] == (
        "8100 jade  asking the Hub for o/a  1.0 s"
    )


def test_elsewhere_the_end_of_a_long_phase_is_a_line() -> None:
    lines = followed([(0, JOB), (0, STOP), (1, WAIT), (13, END)]).splitlines()
    assert lines[2:] == ["8100 jade: loading took 12 s"]


def test_quiet_leaves_only_warnings_each_once() -> None:
    warning: Event = {"event": "warning", "message": "no template"}
    events = [(0.0, STOP), (1.0, moved(1)), (2.0, warning), (3.0, warning), (9.0, END)]
    assert followed(events, quiet=True) == "warning: no template\n"
    assert followed(events, quiet=True, terminal=True) == "warning: no template\n"


def test_log_lines_are_for_the_verbose() -> None:
    events: list[tuple[float, Event]] = [(0.0, {"event": "log", "line": "loading\x1b[0m\x07"})]
    assert followed(events) == ""
    assert followed(events, verbose=True) == "  | loading\\x07\n"


def test_off_a_terminal_a_download_is_few_whole_lines() -> None:
    events = [(i * 1.0, moved(i * 10**6)) for i in range(1, 101)]
    lines = followed(events).splitlines()
    assert 4 <= len(lines) <= 5
    assert "\r" not in "".join(lines)
    assert lines[1] == "8100: downloading: 31 % of 100 MB, 1.00 MB/s, 1 m 09 s left"
    assert "100 % of 100 MB" in lines[-1]


def test_off_a_terminal_the_memory_of_a_server_is_no_line() -> None:
    events = [(0, WAIT), *((i * 40.0, moved(i, 100, "wait")) for i in range(1, 9))]
    assert len(followed(events).splitlines()) == 1


def test_a_load_is_one_line_with_one_clock() -> None:
    lines = drawn(
        [
            (0.0, phase("preflight", "checking jade for port 8100", port=None)),
            (1.0, JOB),
            (1.0, STOP),
            (2.0, phase("launch", "starting mlx_lm.server")),
            (3.0, WAIT),
            (6.0, moved(GIB, 4 * GIB, "wait")),
            (9.0, moved(3 * GIB, 4 * GIB, "wait")),
        ]
    )
    assert lines == [
        "checking jade for port 8100  0.0 s",
        "8100 jade  stopping amber  1.0 s",
        "8100 jade  starting mlx_lm.server  2.0 s",
        "8100 jade  loading  3.0 s, 9.0 s left",
        "8100 jade  loading  [##........]   25 %  1.00 of 4.00 GiB  6.0 s, 6.0 s left",
        "8100 jade  loading  [#######...]   75 %  3.00 of 4.00 GiB  9.0 s, 3.0 s left",
    ]


def test_longer_than_usual_is_said_with_the_same_clock() -> None:
    assert drawn([(3.0, WAIT), (42.0, TICK)])[-1] == "8100  loading  42 s, usually 12 s"


def test_the_restart_of_the_previous_model_is_a_part_of_the_rollback() -> None:
    undo = phase("rollback", "restarting amber")
    assert drawn([(1.0, WAIT), (2.0, undo), (3.0, phase("launch", "starting vllm")), (4.0, WAIT)])[
        1:
    ] == [
        "8100  rolling back  restarting amber  2.0 s",
        "8100  rolling back: starting vllm  3.0 s",
        "8100  rolling back: loading  4.0 s, 9.0 s left",
    ]


def test_a_start_without_a_history_has_the_time_of_its_rate() -> None:
    wait = phase("wait", "waiting for the server", usual_s=None)
    events = [
        (0.0, wait),
        (1.0, moved(GIB, 4 * GIB, "wait")),
        (2.0, moved(2 * GIB, 4 * GIB, "wait")),
    ]
    assert drawn(events)[-1].endswith("50 %  2.00 of 4.00 GiB  2.0 s, 2.0 s left")


def test_a_download_shows_bytes_rate_and_time_left() -> None:
    start = phase("download", "downloading o/a, 4.0 GB")
    work = Work(8100, 0.0)
    work.set_phase(start, 0.0)
    work.advance(moved(1 * 10**9, 4 * 10**9), 8.0)
    work.advance(moved(3 * 10**9, 4 * 10**9), 16.0)
    assert re.split(r"  +", work.line(72.0, 200)) == [
        "8100",
        "downloading",
        "[#######...]",
        "75 %",
        "3.00 of 4.00 GB",
        "250 MB/s",
        "1 m 12 s, 4.0 s left",
    ]


@pytest.mark.parametrize("width", [79, 60, 50, 40, 20, 6])
def test_a_narrow_terminal_keeps_port_percent_and_clock(width: int) -> None:
    work = Work(8100, 0.0)
    work.set_job({"entry": "qwen3-日本" + "a-very-long-name-" * 5, "port": 8100}, 0.0)
    work.set_phase(phase("download", "downloading"), 0.0)
    work.advance(moved(1 * 10**9, 4 * 10**9), 8.0)
    work.advance(moved(3 * 10**9, 4 * 10**9), 16.0)
    line = work.line(72.0, width)
    assert columns(line) <= width and line.startswith("8100")
    if width >= 50:
        assert "75 %" in line and "1 m 12 s" in line
    if width == 79:
        assert "75 %" in line and line.endswith("1 m 12 s, 4.0 s left")


def test_a_name_is_shortened_before_figures_are_left_out() -> None:
    work = Work(8100, 0.0)
    work.set_job({"entry": "qwen3-30b-a3b-instruct-4bit"}, 0.0)
    work.set_phase(phase("download", "downloading"), 0.0)
    work.advance(moved(1 * 10**9, 4 * 10**9), 8.0)
    work.advance(moved(3 * 10**9, 4 * 10**9), 16.0)
    assert work.line(72.0, 79) == (
        "8100 qwen3-3…t-4bit  downloading   75 %  3.00 of 4.00 GB  1 m 12 s, 4.0 s left"
    )


def test_a_line_comes_above_the_redrawn_one() -> None:
    warning: Event = {"event": "warning", "message": "careful", "port": 8100}
    text = followed([(0.0, moved(1)), (1.0, warning), (2.0, STOP)], terminal=True)
    assert "\r\x1b[Kwarning: careful\n\r\x1b[K8100  stopping amber  2.0 s" in text


def test_lines_of_a_terminal_are_wrapped_between_words() -> None:
    failed: Event = {"event": "warning", "message": "word " * 25}
    lines = followed([(0, failed)], terminal=True).splitlines()
    assert len(lines) == 2 and all(line.endswith("word") for line in map(str.rstrip, lines))
    assert len(followed([(0, failed)]).splitlines()) == 1


def test_a_few_bytes_say_nothing_of_the_time_left() -> None:
    events = [(1.0, moved(0)), (2.0, moved(1000)), (3.0, moved(2 * 10**6)), (4.0, moved(4 * 10**6))]
    assert [line.endswith(" left") for line in drawn(events)] == [False, False, True, True]


def test_a_job_without_a_port_is_named_by_its_model() -> None:
    pull: Event = {"event": "job", "job": "J", "port": 0, "entry": "org/name"}
    line = drawn([(0.0, pull), (1.0, {**moved(50 * 10**6), "port": 0})])[-1]
    assert line == "org/name  downloading  [#####.....]   50 %  50.0 of 100 MB  1.0 s"


def test_a_silent_call_shows_after_a_moment_what_it_does() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, True, False, False, clock)
    progress.title = "connecting to studio"
    progress.tick()
    assert stream.getvalue() == ""
    clock.now += 2
    progress.tick()
    assert stream.getvalue() == "\r\x1b[Kconnecting to studio  2.0 s"


def test_a_new_piece_of_work_begins_at_zero() -> None:
    """A question may have been open for an hour."""
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, True, False, False, clock)
    progress(STOP)
    clock.now += 3600
    progress.restart()
    progress(STOP)
    assert stream.getvalue().endswith("8100  stopping amber  0.0 s")


def test_the_clock_goes_on_while_the_caller_waits() -> None:
    ticked = threading.Event()

    class Ticking(Progress):
        def tick(self) -> None:
            ticked.set()

    with Ticking(io.StringIO(), True, False, False).ticking():
        assert ticked.wait(10)


def test_a_followed_job_has_the_clock_of_its_own_start() -> None:
    assert drawn([(5.0, {**JOB, "age_s": 60}), (5.0, STOP)]) == [
        "8100 jade  stopping amber  1 m 00 s"
    ]


def test_a_phase_that_is_told_late_counts_from_its_own_start() -> None:
    late = {**WAIT, "elapsed_s": 50.0}
    assert drawn([(5.0, {**JOB, "age_s": 55}), (5.0, late)])[-1] == (
        "8100 jade  loading  55 s, 4.0 s left"
    )
    lines = followed([(5.0, {**JOB, "age_s": 55}), (5.0, late), (6.0, END)]).splitlines()
    assert lines[-1] == "8100 jade: loading took 6.0 s"


def on(port: int, event: Event) -> Event:
    return {**event, "port": port}


def test_jobs_side_by_side_are_one_line_that_counts_those_that_ended() -> None:
    events = [
        (0.0, on(8100, WAIT)),
        (1.0, on(8101, phase("download", "o/a"))),
        (4.0, on(8101, moved(60 * 10**6))),
        (5.0, on(8101, {"event": "end", "ok": True, "message": "ready"})),
        (6.0, on(8102, STOP)),
        (7.0, on(8102, {"event": "end", "ok": False, "cancelled": True, "message": "cancelled"})),
        (8.0, on(8100, {"event": "end", "ok": False, "message": "no space"})),
    ]
    lines = drawn(events)
    assert "8100 loading   8101 downloading 60 %  4.0 s" in lines
    assert "8100 loading   8102 stopping   1 done  6.0 s" in lines
    assert lines[-1] == "1 cancelled   1 done   1 failed  8.0 s"
    ends = [line for line in followed(events).splitlines() if re.match(r"\d+ \w+: ", line)]
    assert ends == ["8101 done: ready", "8102 cancelled: cancelled", "8100 failed: no space"]


def test_each_line_of_several_jobs_names_its_port() -> None:
    warning: Event = {"event": "warning", "message": "no template"}
    events = [
        (0.0, on(8100, STOP)),
        (1.0, on(8101, STOP)),
        (2.0, on(8101, warning)),
        (3.0, on(8100, {"event": "log", "line": "loading"})),
    ]
    assert followed(events, verbose=True).splitlines() == [
        "8100: stopping amber",
        "8101: stopping amber",
        "warning: 8101: no template",
        "  8100 | loading",
    ]


def test_events_nobody_knows_are_passed_over() -> None:
    assert followed([(0, {"event": "from the future"})]) == ""


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
