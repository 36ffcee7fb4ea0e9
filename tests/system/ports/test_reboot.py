"""A reboot or a crash is told where a model is missed, and cron's reconcile forgets none."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.powercut import power_cut, quiet, reboot, wanted
from tests.support.studio import Studio, finished

on_linux = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="boot ids are Linux'")


def rows(studio: Studio, drift: str) -> dict[str, dict[str, Any]]:
    """Entry -> the row of its port, of those with this drift."""
    ports = studio.mlxops("status").result["ports"]
    return {row["entry"] or row["wanted"]: row for row in ports if row["drift"] == drift}


@on_linux
@pytest.mark.usefixtures("jade_too")
def test_three_runs_of_cron_after_a_reboot_keep_what_is_wanted_and_status_tells_the_reboot(
    near: Studio,
) -> None:
    near.must("load", "topaz", near.ports[2])
    served = near.assignments()
    assert len(served) == 3
    day = near.entry("amber")["process"]["launched_at"]
    reboot(near)
    assert {row["gone"]["how"] for row in rows(near, "stale").values()} == {"reboot"}
    first, *more = [quiet(near) for _ in range(3)]
    assert first.exit == 0 and len(first.stdout.splitlines()) == 3, first
    assert [(one.exit, one.stdout, one.stderr) for one in more] == [(0, "", "")] * 2
    assert near.assignments() == {} and wanted(near) == served
    lost = rows(near, "lost")
    assert {name: row["port"] for name, row in lost.items()} == served
    with open("/proc/stat") as stat:
        booted = next(int(line.split()[1]) for line in stat if line.startswith("btime"))
    for row in lost.values():
        assert row["gone"]["how"] == "reboot" and row["wanted_since"] is not None
        assert abs(_epoch(row["gone"]["at"]) - booted) < 60
        assert " by " in row["reason"] and "; gone since the reboot of " in row["reason"]
    assert lost["amber"]["wanted_since"] == day
    text = finished(near.start("status")).stdout
    assert f"lost {served['jade']} jade: wanted since " in text
    for name, port in served.items():
        near.must("load", name, port)
    assert rows(near, "lost") == {} and near.assignments() == wanted(near) == served
    assert not any("last_process" in near.entry(name) for name in served)


def _epoch(text: str) -> float:
    import calendar

    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


@pytest.mark.slow
def test_a_crash_is_told_with_the_last_line_of_the_log_also_after_a_failed_load(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    one = near.ports[0]
    near.must("status")
    log = near.state_dir / "logs" / f"{one}.log"
    pid = near.port_row(one)["pid"]
    with open(log, "a") as file:
        file.write("libc++abi: terminating due to uncaught exception\n")
    os.kill(pid, signal.SIGKILL)
    power_cut(near)
    near.must("reconcile")
    row = near.port_row(one)
    ending = "crashed (log: libc++abi: terminating due to uncaught exception)"
    assert row["reason"].endswith("; " + ending) and row["gone"]["how"] == "crash"
    report = near.mlxops("doctor").result
    assert any(ending in found["seen"] for found in report["checks"] if found["check"] == "ports")
    fake_runtime.behaves("tiny--topaz", load_s=20, die_after_s=1.2)
    assert near.mlxops("load", "topaz", one).exit == 8
    assert near.port_row(one)["reason"] == row["reason"]
    assert wanted(near) == {"amber": one}


@pytest.mark.slow
def test_a_record_that_shows_no_boot_is_just_gone(near: Studio) -> None:
    one = near.ports[0]
    power_cut(near)
    near.edit(lambda registry: registry["models"]["amber"]["process"].update(start_time="x"))
    near.must("reconcile")
    row = near.port_row(one)
    assert row["gone"]["how"] == "unknown" and row["reason"].endswith("; gone")


@pytest.mark.slow
@pytest.mark.usefixtures("jade_too")
def test_two_that_want_a_port_are_reported_until_a_load_decides(near: Studio) -> None:
    one, two, three = near.ports
    near.edit(lambda registry: registry["models"]["topaz"].update(wanted=str(one)))
    row = near.port_row(one)
    assert (row["state"], row["drift"], row["next"]) == (
        "ready",
        "duplicate",
        f"mlxops load amber {one}",
    )
    assert "amber and topaz" in row["reason"]
    text = finished(near.start("status")).stdout
    assert f"duplicate {one} amber: wanted by amber and topaz" in text
    assert f"next: mlxops load amber {one}, or load the one you want there" in text
    checked = near.mlxops("reconcile", "--check")
    assert checked.exit == 11 and wanted(near) == {"amber": one, "topaz": one, "jade": two}
    pid = row["pid"]
    near.must(*row["next"].split()[1:])
    assert near.port_row(one)["pid"] == pid and near.port_row(one)["drift"] is None
    assert wanted(near) == {"amber": one, "jade": two}

    near.edit(lambda registry: registry["models"]["topaz"].update(wanted=two))
    power_cut(near)
    reported = near.must("reconcile")["drift"]
    assert {(d["drift"], d["port"]) for d in reported} == {("lost", one), ("duplicate", two)}
    near.must("load", "topaz", two)
    assert wanted(near) == {"amber": one, "topaz": two} and three not in wanted(near).values()


def test_a_wanted_port_that_the_host_does_not_have_is_a_warning(near: Studio) -> None:
    near.edit(lambda registry: registry["models"]["topaz"].update(wanted=9))
    text = "topaz is wanted on port 9, which is not one of this host's"
    assert near.must("status")["warnings"] == [text]
    shown = finished(near.start("status"))
    assert (shown.stdout + shown.stderr).count(f"warning: {text}") == 1


@pytest.mark.parametrize("stored", ["soon", {}, True])
def test_a_wanted_that_is_no_port_makes_the_registry_invalid(near: Studio, stored: object) -> None:
    near.edit(lambda registry: registry["models"]["topaz"].update(wanted=stored))
    refused = near.mlxops("list")
    assert refused.exit == 5 and "'topaz'" in json.dumps(refused.error)
