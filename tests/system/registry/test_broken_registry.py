"""An unreadable registry prevents neither a look at the host nor an unload of a proven server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import ROOT, Studio
from tests.support.watching import refused

CORRUPT = '{"version": 1,\n "models": {"amber": {,}}}'
HELD = """
import sys, fcntl, os
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holding(path: str) -> Iterator[subprocess.Popen[str]]:
    """A process other than mlxops holds a lock."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", HELD, path], text=True, cwd=ROOT, **pipes
    ) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


@pytest.fixture
def loaded(known: Studio, fake_runtime: FakeRuntime) -> Iterator[Studio]:
    known.must("load", "amber", known.ports[0])
    yield known
    known.must("unload-all")


def test_status_logs_jobs_and_lock_work_and_say_what_is_wrong(loaded: Studio) -> None:
    good, port = loaded.registry_path.read_text(), loaded.ports[0]
    loaded.registry_path.write_text(CORRUPT)
    seen = loaded.mlxops("status")
    document = seen.document
    rows = {row["port"]: row for row in document["result"]["ports"]}
    assert (seen.exit, document["error"]["kind"], rows[port]["state"]) == (
        5,
        "RegistryInvalid",
        "ready",
    )
    assert {row["drift"] for row in rows.values()} == {None}
    assert "line 2" in document["result"]["error"]["message"]
    for words in (["logs", port], ["jobs"], ["lock"]):
        assert loaded.mlxops(*words).exit == 0, words
    loaded.registry_path.write_text(good)


@pytest.mark.slow
def test_what_listens_and_is_proven_by_its_command_line_is_stopped(loaded: Studio) -> None:
    good, (port, other, _) = loaded.registry_path.read_text(), loaded.ports
    loaded.registry_path.write_text(CORRUPT)
    error = refused(loaded.mlxops("unload", port), 5, "RegistryInvalid")
    assert error["stopped"] is True and f"port {port} is free" in error["message"]
    assert loaded.mlxops("status").document["result"]["ports"][0]["state"] == "free"
    assert "stopped" not in refused(loaded.mlxops("unload", other), 5, "RegistryInvalid")
    assert loaded.registry_path.read_text() == CORRUPT
    loaded.registry_path.write_text(good)
    loaded.must("reconcile")
    assert loaded.assignments() == {}


@pytest.mark.slow
def test_nothing_is_stopped_while_somebody_else_holds_the_registry(loaded: Studio) -> None:
    port = loaded.ports[0]
    with holding(f"{loaded.registry_path}.lock") as holder:
        error = refused(loaded.mlxops("unload", port), 6, "Locked")
        assert error["message"].startswith(
            "nothing was stopped: the registry is locked: held by pid"
        )
        assert error["holder"]["pid"] == holder.pid and str(holder.pid) in error["hint"]
        rows = {row["lock"]: row for row in loaded.must("lock")["locks"]}
        assert (rows["registry"]["held"], rows["registry"]["pid"]) == (True, holder.pid)
        assert loaded.port_row(port)["state"] == "ready"
    assert loaded.must("unload", port)["state"] == "free"


def test_a_port_s_lock_that_somebody_else_holds_is_told_by_pid(loaded: Studio) -> None:
    port, began = loaded.ports[0], time.monotonic()
    with holding(f"{loaded.registry_path}.{port}.lock") as holder:
        for words in (["unload", port], ["load", "jade", port, "--replace"]):
            assert f"pid {holder.pid}" in refused(loaded.mlxops(*words), 6, "Locked")["message"]
        error = loaded.mlxops("cancel", port).error
        assert f"held by pid {holder.pid}" in error["message"]
    assert os.path.exists(f"{loaded.registry_path}.{port}.lock") and time.monotonic() - began < 60
