"""Files on the host stay bounded: commands truncate them, and doctor shows their sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.logs.size import KEPT_BYTES, MAX_LOG_BYTES
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio


@pytest.fixture
def local(make_studio: Callable[..., Studio], fake_runtime: FakeRuntime) -> Studio:
    runtime: dict[str, Any] = {
        "name": "mlx-openai-server",
        "command": fake_runtime.command,
        "grace_s": 10,
    }
    studio = make_studio(None, runtime)
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    return studio


def log_of(studio: Studio) -> Path:
    return studio.state_dir / "logs" / f"{studio.ports[0]}.log"


def grown(studio: Studio) -> Path:
    """The log of the first port, as if its server had been chatty."""
    log = log_of(studio)
    with log.open("ab") as file:
        for _ in range(MAX_LOG_BYTES >> 20):
            file.write(b"x" * ((1 << 20) - 1) + b"\n")
    return log


def kept(log: Path) -> int:
    return log.with_suffix(".log.1").stat().st_size


def test_reconcile_cuts_a_log_down_while_its_server_serves(local: Studio) -> None:
    log = grown(local)
    jobs = len(local.must("jobs")["jobs"])
    local.must("reconcile", "--dry-run")
    assert log.stat().st_size > MAX_LOG_BYTES
    told = local.mlxops("reconcile")
    assert (
        told.result["actions"] == [] and f"the last {KEPT_BYTES >> 10} KiB are kept" in told.stderr
    )
    assert log.stat().st_size < 4096 and kept(log) >= KEPT_BYTES
    local.ask(local.ports[0])
    assert "/v1/chat/completions" in local.must("logs", local.ports[0])["lines"][-1]
    assert len(local.must("jobs")["jobs"]) == jobs and not any(
        lock["held"] for lock in local.must("lock")["locks"]
    )
    assert local.mlxops("-q", "reconcile").stderr == ""


@pytest.mark.slow
def test_a_load_and_an_unload_leave_no_large_log(local: Studio) -> None:
    log = grown(local)
    local.must("load", "jade", local.ports[0], "--replace")
    assert log.stat().st_size < 1 << 20 and kept(log) == KEPT_BYTES
    grown(local)
    local.must("unload", local.ports[0])
    assert log.stat().st_size < 4096 and kept(log) >= KEPT_BYTES


@pytest.mark.slow
def test_doctor_tells_how_much_there_is_and_cuts(local: Studio) -> None:
    log = grown(local)

    def rows() -> list[dict[str, Any]]:
        return [
            row
            for row in local.mlxops("doctor").document["result"]["checks"]
            if row["check"] == "kept files"
        ]

    summary, large = rows()
    assert str(local.state_dir) in summary["seen"]
    for kind in ("logs 6", "jobs 0.", "registry.history.jsonl "):
        assert kind in summary["seen"]
    assert str(log) in large["seen"]
    planned = local.mlxops("doctor", "--fix", "--dry-run").document["result"]["actions"]
    assert ("cut", str(log), False) in [
        (one["action"], one["path"], one["applied"]) for one in planned
    ]
    local.mlxops("doctor", "--fix")
    assert log.stat().st_size < 4096 and len(rows()) == 1


def test_a_large_log_is_a_warning(tmp_path: Path) -> None:
    from mlxops.agent.doctor.sizes import LARGE_LOG, _log

    assert _log("/l", MAX_LOG_BYTES + 1, 1 << 40).verdict == "ok"
    assert _log("/l", LARGE_LOG + 1, 1 << 40).verdict == "warning"
    assert _log("/l", MAX_LOG_BYTES + 1, MAX_LOG_BYTES).verdict == "warning"
    assert _log("/l", LARGE_LOG + 1, 1 << 40).to_wire()["mend"] == "mlxops doctor --fix"
