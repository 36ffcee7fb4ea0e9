"""The screens of `plan`: what each port serves, will serve, and why."""

from __future__ import annotations

import re

import pytest

from mlxops.render.plan import plan_text, question, quiet_plan_text, summary
from mlxops.render.style import Style
from mlxops.render.width import wrapped_text
from tests.support.planrows import DAY, GIB, LONG, plan, row, serving
from tests.support.statusrows import PLAIN

SCREEN = """\
PORT  SLOT       NOW                        THEN                        STEP
8100  jerry-xl   r1                         qwen235                     swap
8101  jerry-l    qwen235                    r1                          swap
8102  jerry-m    -                          nightmedia/qw…-qx86-hi-mlx  download
8103  jerry-s    coder                      coder                       same
8104  bench-1    foreign                    phi                         blocked
8105  bench-2    glm (unresponsive)         glm                         restart
8106  bench-3    -                          gemma                       load
8107  -          qwen3-30b-a3…-qx86-hi-mlx  qwen3-30b-a3b…-qx86-hi-mlx  leave
8108  utility-2  -                          -                           leave
8109  utility-3  -                          -                           leave

swap 8100: declared; r1 serves there; waits for 8101
swap 8101: declared; qwen235 serves there; unloaded first
download 8102: declared; 15.0 GB to download
blocked 8104: nginx (pid 4711) listens on 8104, and it is not a model server of
  thestudio
  next: stop it on the host, then: mlxops apply 8104
restart 8105: its server does not answer
memory: 120 GiB in use, at most 205 GiB on the way, of 236 GiB
5 changes: 2 swaps, 1 load, 1 restart, 1 download; 15.0 GB to download; 1 port
  blocked
next: mlxops apply"""


def bare(text: str) -> str:
    """The text as a terminal shows it: without colours and trailing blanks."""
    plain = re.sub(r"\x1b\[\d+m", "", text)
    return "\n".join(line.rstrip() for line in plain.splitlines())


def test_ten_ports_and_their_reasons_fit_on_a_screen() -> None:
    text = plan_text(DAY, Style(width=80), "mlxops apply")
    assert bare(wrapped_text(text, 80)) == SCREEN
    assert len(SCREEN.splitlines()) <= 24


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_nothing_folds(width: int, colour: bool) -> None:
    text = plan_text(DAY, Style(colour=colour, width=width), "mlxops apply")
    text = wrapped_text(text, width)
    assert max(map(len, bare(text).splitlines())) <= width
    assert all(word in text for word in ("8109", "nightmedia", "swap", "blocked"))
    assert ("\x1b[31mblocked\x1b[0m" in text) is colour


def test_a_pipe_gets_whole_names_on_whole_lines() -> None:
    text = plan_text(DAY, PLAIN, "mlxops apply")
    assert text.count(LONG) == 3 and "…" not in text and "\x1b" not in text
    assert (
        "\nblocked 8104: nginx (pid 4711) listens on 8104, and it is not a model server of" in text
    )
    assert "server of thestudio\n" in text


def test_where_nothing_is_to_be_done_no_command_is_named() -> None:
    text = plan_text(plan(serving(8100, "same", "a", entry="a"), row(8101, "leave")), PLAIN, "x")
    assert text.splitlines()[-2:] == [
        "memory: 120 GiB in use, of 236 GiB",
        "no changes; every port is as planned",
    ]


def test_a_blocked_port_alone_is_no_change() -> None:
    blocked = row(
        8100, "blocked", kind="Locked", reason="load x by bob", hint="mlxops jobs --follow 8100"
    )
    lines = plan_text(plan(blocked), PLAIN, "mlxops apply").splitlines()
    assert lines[-1] == "no changes; 1 port blocked"
    assert lines[3:5] == ["blocked 8100: load x by bob", "  next: mlxops jobs --follow 8100"]


def test_drift_beside_the_right_server_is_told() -> None:
    stray = serving(8100, "same", "a", entry="a", drift="stray", reason="pid 7 was started too")
    assert "\nsame 8100: pid 7 was started too\n" in plan_text(plan(stray), PLAIN, "x")
    server = serving(8100, "same", "a", entry="a", reason="declared")
    assert "declared" not in plan_text(plan(server), PLAIN, "x")


def test_what_does_not_fit_is_summed_line_by_line() -> None:
    memory = {"now_bytes": 190 * GIB, "peak_bytes": 286 * GIB, "most_bytes": 236 * GIB}
    big = plan(
        serving(8100, "same", "r1", entry="r1", need_bytes=190 * GIB),
        row(8101, "load", entry="qwen235", need_bytes=96 * GIB),
        memory={**memory, "fits": False},
    )
    lines = plan_text(big, Style(width=80), "mlxops apply 8101").splitlines()
    assert [" ".join(line.split()) for line in lines[4:]] == [
        "does not fit: nothing would be changed",
        "8100 r1 190 GiB",
        "8101 qwen235 96.0 GiB",
        "together 286 GiB",
        "available to model servers 236 GiB",
        "1 change: 1 load",
        "next: name fewer ports, or unload others for them: mlxops apply 8101 --evict",
    ]
    assert {len(line) for line in lines[5:9]} == {len(lines[5])}
    evicting = plan_text(big, PLAIN, "mlxops apply --evict").splitlines()
    assert evicting[-1] == "next: name fewer ports"
    alone = plan_text({**big, "rows": [row(8100, "blocked", kind="TooBig")]}, PLAIN, "mlxops apply")
    assert alone.splitlines()[-1] == "next: name fewer ports"


def test_an_unknown_limit_is_no_limit_of_zero() -> None:
    memory = {"now_bytes": GIB, "peak_bytes": None, "most_bytes": None, "fits": True}
    assert "memory: 1.00 GiB in use, limit unknown" in plan_text(plan(memory=memory), PLAIN, "x")


def test_quiet_shows_only_what_would_change_or_cannot() -> None:
    lines = quiet_plan_text(DAY, PLAIN, "x").splitlines()
    assert [line.split()[0] for line in lines[1:7]] == [
        "8100",
        "8101",
        "8102",
        "8104",
        "8105",
        "8106",
    ]
    assert quiet_plan_text(plan(serving(8100, "same", "a")), PLAIN, "x") == ""


def test_the_question_counts_what_stops_and_what_is_loaded() -> None:
    assert question(DAY) == "Stop 3 servers and load 5 models (15.0 GB to download)?"
    assert question(plan(serving(8100, "unload", "a"))) == "Stop 1 server?"
    assert question(
        plan(serving(8100, "download", "a", download_bytes=GIB), row(8101, "load"))
    ) == ("Stop 1 server and load 2 models (1.07 GB to download)?")
    assert question(plan(row(8100, "load"), serving(8101, "same", "a"))) is None


def test_the_sum_names_each_kind_of_step() -> None:
    steps = plan(row(1, "load"), row(2, "load"), serving(3, "unload", "a"))
    assert summary(steps) == "3 changes: 2 loads, 1 unload"


def test_a_hostile_name_cannot_steer_the_terminal() -> None:
    hostile = "x\x1b]0;y\x07\nz"
    fields = dict.fromkeys(("slot_name", "declared", "entry", "live", "reason", "hint"), hostile)
    text = plan_text(plan(row(8100, "blocked", **fields)), Style(width=80), "mlxops apply")
    assert "\\x1b" in text and all(line.isprintable() for line in text.split("\n"))
