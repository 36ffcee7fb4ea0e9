"""The pure parts of doctor: verdicts from figures, the steps of a connection, the table."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.doctor.finding import join_some
from mlxops.agent.doctor.folders import folder_fault
from mlxops.agent.doctor.locks import age_s, lock_row
from mlxops.agent.doctor.machine import GB, GIB, disk_row, memory_row
from mlxops.agent.errors import HostKeyRefused, HostUnreachable, LinkLost, LoginRefused, MlxopsError
from mlxops.agent.programs.version import last_version, metadata_version
from mlxops.doctor import clock_row, step_rows
from mlxops.render.doctor import all_checks, failing_checks
from mlxops.render.style import Style
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
SKEWED: Any = {"checks": [], "actions": []}


@pytest.mark.parametrize(
    ("ahead", "error", "verdict", "text"),
    [
        (0.01, 0.02, "ok", "agree"),
        (1.5, 0.02, "ok", "1.50 s ahead of"),
        (-1.5, 0.1, "ok", "1.50 s behind"),
        (2.5, 0.1, "warning", "ahead"),
        (2.5, 1.0, "ok", "give or take 1.00 s"),
        (-299, 0, "warning", "behind"),
        (301, 0.5, "wrong", "ahead"),
        (-4000, 10, "wrong", "behind"),
    ],
)
def test_a_clock_is_blamed_for_no_more_than_the_round_trip_proves(
    ahead: float, error: float, verdict: str, text: str
) -> None:
    row = clock_row(ahead, error)
    assert row["verdict"] == verdict and text in row["seen"]
    assert (row["mend"] is None) == (verdict == "ok")


@pytest.mark.parametrize(
    ("fault", "verdicts"),
    [
        (None, ["ok", "ok", "ok"]),
        (HostUnreachable("no", "hint"), ["wrong", "unknown", "unknown"]),
        (HostKeyRefused("no", "hint"), ["ok", "wrong", "unknown"]),
        (LoginRefused("no", "hint"), ["ok", "ok", "wrong"]),
        (LinkLost("no", "hint"), ["ok", "ok", "ok"]),
    ],
)
def test_a_connection_is_told_as_far_as_it_came(
    fault: MlxopsError | None, verdicts: list[str]
) -> None:
    rows = list(step_rows(["a", "b", "c"], type(fault), fault))
    assert [row["verdict"] for row in rows] == verdicts
    assert [row["mend"] for row in rows if row["verdict"] == "wrong"] == ["hint"] * verdicts.count(
        "wrong"
    )
    assert {row["verdict"] for row in step_rows([], type(fault), fault)} == {"unknown"}


def test_a_folder_of_another_user_is_wrong(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    was = os.lstat(tmp_path)
    assert folder_fault(str(tmp_path), was, was.st_uid) is None
    finding = folder_fault(str(tmp_path), was, was.st_uid + 1)
    assert finding and (finding.verdict, finding.fixes) == ("wrong", ())
    assert finding.fix == f"on the host: sudo chown {was.st_uid + 1} {tmp_path}"


@pytest.mark.parametrize(
    ("free", "verdict"), [(0, "wrong"), (GB, "warning"), (19 * GB, "warning"), (20 * GB, "ok")]
)
def test_room_on_the_disk(free: int, verdict: str) -> None:
    assert disk_row("/models", free).verdict == verdict


@pytest.mark.parametrize(
    ("total", "available", "verdict"),
    [(256 * GIB, 3 * GIB, "warning"), (256 * GIB, 4 * GIB, "ok"), (2 * GIB, 2 * GIB, "ok")],
)
def test_room_in_memory(total: int, available: int, verdict: str) -> None:
    assert memory_row(total, available, 0).verdict == verdict
    assert "wired limit 236.0 GiB" in memory_row(total, available, 236 * GIB).detail


def test_the_age_of_a_lock() -> None:
    assert age_s("1970-01-01T00:01:00Z", 100.0) == 40.0
    assert [
        age_s(since, 0.0) for since in (None, 7, "", "yesterday", "9999999999-01-01T00:00:00Z")
    ] == [None] * 5
    holder = {"since": "1970-01-01T00:00:00Z", "pid": 9}
    assert lock_row("c", "/r.lock", holder, 10.0, 10.0).verdict == "ok"
    assert lock_row("c", "/r.lock", holder, 10.0, 10.1).verdict == "warning"
    assert (
        lock_row("c", "/r.lock", {**holder, "job": "J"}, 1.0, 9.0).fix
        == "mlxops jobs --follow J, or mlxops cancel J"
    )
    assert lock_row("c", "/r.lock", {}, 10.0, 1e9).verdict == "ok"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["mlx_lm-0.31.1.dist-info"], "0.31.1"),
        (["MLX.lm-1.0.dist-info"], "1.0"),
        (["mlx-0.31.0.dist-info"], None),
        (["mlx_lm_extra-1.dist-info", "mlx_lm", "mlx_lm.dist-info", "mlx_lm-1.0.egg-info"], None),
        ([], None),
    ],
)
def test_a_version_in_the_metadata(names: list[str], found: str | None) -> None:
    assert metadata_version("mlx-lm", names) == found


def test_a_version_that_the_program_prints() -> None:
    assert last_version("loading 1.2.3 …\nmlx-openai-server\nVersion: 1.8.1\n") == "1.8.1"
    assert last_version("usage: prog [-h]") is None


def test_many_names_are_cut_short() -> None:
    assert join_some("abc") == "a, b, c"
    assert join_some(range(7)) == "0, 1, 2, 3, 4 and 2 more"


def row(check: str, verdict: str, mend: str | None = None, seen: str = "it is") -> dict[str, Any]:
    return {"side": "host", "check": check, "verdict": verdict, "seen": seen, "mend": mend}


FIXED = {
    "action": "remove",
    "path": "/tmp\x1b",
    "reason": "left over",
    "applied": True,
    "error": None,
}
FOUND = {
    "checks": [
        row("disk", "ok"),
        row("agent", "wrong", "rm it"),
        row("lock", "warning", "rm it", "x\x1b[2J"),
    ],
    "actions": [
        FIXED,
        {**FIXED, "applied": False},
        {**FIXED, "applied": False, "error": "No space"},
    ],
}


def test_each_command_that_mends_is_shown_once_below_the_table() -> None:
    lines = all_checks(FOUND, Style()).splitlines()
    assert [line.split()[:3] for line in lines[:4]] == [
        ["SIDE", "CHECK", "RESULT"],
        ["host", "disk", "ok"],
        ["host", "agent", "error"],
        ["host", "lock", "warning"],
    ]
    assert lines[4:] == [
        "next (agent): rm it",
        "done: remove /tmp\\x1b: left over",
        "would remove /tmp\\x1b: left over",
        "failed: remove /tmp\\x1b: left over: No space",
        "",
        "1 ok, 1 warning, 1 error, 0 unknown",
    ]
    assert "\x1b" not in "".join(lines) and "\x1b[31merror\x1b[0m" in all_checks(
        FOUND, Style(colour=True)
    )


def test_a_quiet_doctor_shows_only_what_is_not_ok() -> None:
    assert "disk" not in failing_checks(FOUND, Style()) and "agent" in failing_checks(
        FOUND, Style()
    )
    assert failing_checks({"checks": [row("disk", "ok")], "actions": []}, Style()) == ""


@pytest.mark.usefixtures("lab")
def test_the_hosts_clock_is_compared_when_it_tells_it() -> None:
    for ahead, verdict in ((0, "ok"), (60, "warning"), (-4000, "wrong")):
        events = (
            {"event": "clock", "now": time.time() + ahead},
            {"event": "warning", "message": "and more"},
        )
        ended = Ended(Studio(dict(SKEWED), events=events), "doctor", "--json")
        clocks = [one for one in ended.document["result"]["checks"] if one["check"] == "clock"]
        assert [one["verdict"] for one in clocks] == [verdict]
        assert (ended.code, "and more" in ended.err) == (int(verdict == "wrong"), True)
    for nonsense in ((), ({"event": "clock", "now": "noon"},), ({"event": "clock"},)):
        ended = Ended(Studio(dict(SKEWED), events=nonsense), "doctor", "--json")
        clocks = [
            one["verdict"] for one in ended.document["result"]["checks"] if one["check"] == "clock"
        ]
        assert (clocks, ended.code) == (["unknown"], 0)


@pytest.mark.usefixtures("lab")
def test_warnings_are_no_failure_and_a_wrong_row_is() -> None:
    for verdict, code in (("ok", 0), ("warning", 0), ("unknown", 0), ("wrong", 1)):
        ended = Ended(
            Studio({"checks": [row("disk", verdict)], "actions": []}), "doctor", "--json", "--local"
        )
        assert (ended.code, ended.document["ok"]) == (code, not code)
    assert ended.document["error"]["wrong"] == ["disk"]


@pytest.mark.usefixtures("lab")
def test_a_dry_run_needs_something_to_do() -> None:
    studio = Studio(dict(SKEWED))
    assert Ended(studio, "doctor", "--dry-run").code == 2
    assert Ended(studio, "doctor", "--fix", "--dry-run").code == 0
    assert studio.asked == [("doctor", {"fix": True, "dry_run": True})]
