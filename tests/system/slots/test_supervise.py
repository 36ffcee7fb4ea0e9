"""Cron starts what has crashed again, and knows when to stop."""

from __future__ import annotations

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.intent import kill
from tests.support.powercut import quiet, wanted
from tests.support.studio import Studio, finished
from tests.support.supervising import cron, journal, let_pass, restarts, started


def drift(studio: Studio, port: int) -> tuple[str | None, str | None, str | None]:
    row = next(row for row in studio.mlxops("status").result["ports"] if row["port"] == port)
    return row["drift"], row["wanted"], row["next"]


def test_a_crashed_server_is_started_again_and_cron_says_so_once(near: Studio) -> None:
    port = near.ports[0]
    kill(near)
    first = cron(near)
    assert (first.exit, first.stderr) == (0, ""), first
    freed, begun = first.stdout.splitlines()
    assert freed.startswith(f"freed {port} (amber)") and "next" not in freed
    assert begun.startswith(f"started amber on {port}: ready after")
    assert near.ask(port) == "I am tiny/amber" and wanted(near) == {"amber": port}
    assert [line["outcome"] for line in journal(near)] == ["ready"]
    again = cron(near)
    assert (again.exit, again.stdout, again.stderr) == (0, "", "")


def test_without_the_option_and_in_a_dry_run_nothing_is_started(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    kill(near)
    assert restarts(near, "--dry-run") == {port: ("start", "wanted, and gone")}
    told = finished(near.start("reconcile", "--restart", "--dry-run")).stdout
    assert f"would start amber on {port}: wanted, and gone" in told.splitlines()
    assert near.assignments() == {"amber": port} and journal(near) == []
    quiet(near)
    assert near.assignments() == {} and started(fake_runtime, "amber") == 1
    assert restarts(near, "--dry-run") == {port: ("start", "wanted, and gone")}
    assert started(fake_runtime, "amber") == 1 and drift(near, port)[0] == "lost"


@pytest.mark.slow
def test_what_crashes_again_and_again_waits_longer_and_is_held_after_five_starts(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    for number, pause in enumerate((1, 2, 4, 8, 0), 1):
        kill(near)
        assert f"started amber on {port}" in cron(near).stdout
        if pause:
            kill(near)
            verdict, reason = restarts(near)[port]
            times = "once" if number == 1 else f"{number} times"
            assert (verdict, reason) == ("wait", f"started {times} within the last hour")
            let_pass(near, pause)
    assert started(fake_runtime, "amber") == 1 + 5
    kill(near)
    held = cron(near)
    assert (
        f"held {port} amber" in held.stdout and "it crashed 5 times within an hour" in held.stdout
    )
    assert cron(near).stdout == ""
    let_pass(near, 24 * 60)
    assert restarts(near)[port][0] == "held" and started(fake_runtime, "amber") == 6
    assert drift(near, port)[:2] == ("held", "amber")
    for words in ("status --check", "reconcile --check"):
        ended = near.mlxops(*words.split())
        assert ended.exit == 11 and f"{port} held" in ended.error["message"], ended
    assert f"{port} held (amber)" in finished(near.start("doctor")).stdout
    near.must(*str(drift(near, port)[2]).split()[1:])
    assert near.ask(port) == "I am tiny/amber" and journal(near) == []
    assert cron(near).stdout.splitlines() == [f"resolved: held {port} amber"]
    kill(near)
    assert "started amber" in cron(near).stdout


@pytest.mark.slow
def test_what_does_not_start_is_tried_five_times_and_its_error_is_told(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    fake_runtime.behaves("tiny--amber", die_after_s=0, load_s=20)
    kill(near)
    first = cron(near)
    freed, lost = first.stdout.splitlines()
    assert freed.startswith(f"freed {port}") and lost.startswith(f"lost {port} amber")
    assert "its last start failed: " in lost and near.assignments() == {}
    for pause in (1, 2, 4, 8):
        let_pass(near, pause)
        assert cron(near).stdout == "" or pause == 8
    assert started(fake_runtime, "amber") == 1 + 5
    assert drift(near, port)[0] == "held"
    assert [line["outcome"] for line in journal(near)] == ["failed"] * 5


@pytest.mark.slow
def test_what_was_unloaded_is_never_started_nor_a_try_out(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    one, two, three = near.ports
    near.must("load", "jade", two)
    near.must("load", "topaz", three, "--no-keep")
    kill(near, one, three)
    near.must("unload", one)
    near.must("unload", two)
    assert restarts(near) == {}
    assert near.assignments() == {} and journal(near) == []
    assert [started(fake_runtime, name) for name in ("amber", "jade", "topaz")] == [1, 1, 1]


@pytest.mark.slow
def test_a_port_that_the_host_file_gives_to_another_model_is_left(near: Studio) -> None:
    one, two, _ = near.ports
    near.declare({one: "tiny/jade"})
    kill(near)
    reason = "the host file declares jade for the port"
    assert restarts(near) == {one: ("left", reason)}
    told = finished(near.start("reconcile", "--restart")).stdout
    assert f"not started {one} amber: {reason}" in told
    near.declare({two: "tiny/amber"})
    assert restarts(near) == {one: ("left", f"the host file declares it for port {two}")}
    near.declare({one: "tiny/amber"})
    assert restarts(near)[one][0] == "ready"
