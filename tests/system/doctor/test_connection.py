"""doctor as a user runs it: both sides, and the client's side if the host cannot be reached."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_range
from tests.support.sshd import make_key
from tests.support.studio import Answer, Studio, finished

SSH = ["host file", "ssh settings", "address", "host key", "login", "clock"]


def rows(answer: Answer, side: str) -> dict[str, dict[str, Any]]:
    assert "Traceback" not in answer.stderr, answer
    return {row["check"]: row for row in answer.document["result"]["checks"] if row["side"] == side}


def verdicts(answer: Answer, side: str = "client") -> dict[str, str]:
    return {check: row["verdict"] for check, row in rows(answer, side).items()}


def test_both_sides_are_looked_at_and_a_fix_is_told(known: Studio) -> None:
    logs = known.state_dir / "logs"
    known.state_dir.chmod(0o700)
    logs.mkdir(0o777)
    logs.chmod(0o777)
    answer = known.mlxops("doctor")
    assert answer.exit == 1 and answer.error["wrong"] == ["state folder"]
    assert verdicts(answer) == dict.fromkeys(SSH, "ok")
    troubles = [row for row in answer.document["result"]["checks"] if row["verdict"] != "ok"]
    assert [(row["check"], row["mend"]) for row in troubles] == [
        ("state folder", "mlxops doctor --fix")
    ]
    planned = finished(known.start("doctor", "--fix", "--dry-run"))
    assert (
        f"would chmod {logs}: others can write to it (mode 777)" in planned.stdout
        and planned.exit == 1
    )
    fixed = finished(known.start("doctor", "--fix"))
    assert f"done: chmod {logs}" in fixed.stdout and fixed.exit == 0
    assert finished(known.start("doctor", "-q")) == Answer(0, "", "")


def test_local_leaves_ssh_out(known: Studio) -> None:
    answer = known.mlxops("--local", "doctor")
    assert verdicts(answer) == {"host file": "ok", "clock": "ok"} and answer.exit == 0


def test_a_host_file_that_others_can_write_is_wrong(known: Studio) -> None:
    (known.hosts_dir / "studio.toml").chmod(0o666)
    answer = known.mlxops("--local", "doctor")
    assert verdicts(answer)["host file"] == "wrong" and answer.exit == 2
    assert (
        rows(answer, "client")["host file"]["mend"] == f"chmod go-w {known.hosts_dir}/studio.toml"
    )


def test_a_registry_that_cannot_be_read_keeps_nothing_else_from_being_seen(known: Studio) -> None:
    known.registry_path.write_text("{")
    answer = known.mlxops("doctor")
    assert (answer.exit, answer.error["wrong"]) == (1, ["registry"])
    assert "line 1, column 2" in rows(answer, "host")["registry"]["seen"]
    assert verdicts(answer, "host")["disk"] == verdicts(answer, "host")["runtime"] == "ok"


def test_an_agent_that_was_changed_on_the_host_is_found(known: Studio) -> None:
    place = known.state_dir / "agent" / ("0" * 64)
    next(known.state_dir.glob("agent/*")).rename(place)
    answer = known.mlxops("doctor")
    row = rows(answer, "host")["agent cache"]
    assert (
        row["verdict"] == "wrong"
        and str(place) in row["seen"]
        and row["mend"] == "mlxops doctor --fix"
    )
    assert known.must("doctor", "--fix")["actions"][0]["applied"] and not place.exists()


def unreached(studio: Studio, tmp_path: Path, kind: str) -> None:
    """Break the connection to the host at one step."""
    assert studio.login
    changes = {
        "address": {"port": free_range(1)[0]},
        "host key": {"known_hosts_file": str(tmp_path / "nobody")},
        "login": {"identity_file": str(tmp_path / "stranger")},
        "ssh settings": {"identity_file": str(tmp_path / "nonesuch")},
    }
    make_key(tmp_path / "stranger")
    studio.login = dataclasses.replace(studio.login, **changes[kind])  # type: ignore[arg-type]
    studio.describe()


@pytest.mark.parametrize(
    ("kind", "code"), [("ssh settings", 2), ("address", 3), ("host key", 4), ("login", 4)]
)
def test_the_way_to_the_host_is_told_up_to_the_step_that_failed(
    studio: Studio, tmp_path: Path, kind: str, code: int
) -> None:
    unreached(studio, tmp_path, kind)
    answer = studio.mlxops("doctor")
    assert answer.exit == code
    at = SSH.index(kind)
    steps = {
        **dict.fromkeys(SSH[:at], "ok"),
        kind: "wrong",
        **dict.fromkeys(SSH[at + 1 : -1], "unknown"),
    }
    assert verdicts(answer) == steps and verdicts(answer, "host") == {"agent": "unknown"}
    row = rows(answer, "client")[kind]
    assert (row["seen"], row["mend"]) == (answer.error["message"], answer.error["hint"]) and row[
        "mend"
    ]


def test_a_host_file_that_is_wrong_is_a_row_too(studio: Studio) -> None:
    (studio.hosts_dir / "studio.toml").write_text("transport = 3\n")
    answer = studio.mlxops("doctor")
    assert (answer.exit, verdicts(answer)) == (2, {"host file": "wrong"})


def test_an_agent_that_cannot_start_is_the_hosts_fault(studio: Studio) -> None:
    studio.describe(python="/nonesuch/python3")
    for words in (["doctor"], ["--local", "doctor"]):
        answer = studio.mlxops(*words)
        row = rows(answer, "host")["agent"]
        assert (answer.exit, row["verdict"]) == (3, "wrong") and row["mend"]
        assert set(verdicts(answer).values()) == {"ok"}
    assert "cannot be started" in rows(studio.mlxops("doctor"), "host")["agent"]["seen"]


@pytest.mark.slow
def test_doctor_closes_a_state_folder_that_others_can_write(known: Studio) -> None:
    known.must("doctor", "--fix")
    known.state_dir.chmod(0o777)
    answer = known.mlxops("doctor")
    row = rows(answer, "host")["state folder"]
    assert (
        "others can write to it (mode 777)" in row["seen"] and row["mend"] == "mlxops doctor --fix"
    )
    assert rows(answer, "host")["agent cache"]["verdict"] == "warning" and answer.exit == 1
    known.mlxops("doctor", "--fix")
    assert known.mlxops("doctor").exit == 0
