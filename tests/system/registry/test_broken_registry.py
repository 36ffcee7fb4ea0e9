"""An unreadable registry prevents neither a look at the host nor an unload of a proven server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


DAMAGE: dict[str, Callable[[Studio], object]] = {
    "no JSON": lambda s: s.registry_path.write_text(CORRUPT),
    "no version of ours": lambda s: s.edit(lambda r: r.update(version=2)),
    "no object of entries": lambda s: s.edit(lambda r: r.update(models=[])),
    "a port that is none": lambda s: s.edit(lambda r: r["models"]["jade"].update(port="x")),
    "no file": lambda s: s.registry_path.unlink(),
    "a folder": lambda s: (s.registry_path.unlink(), s.registry_path.mkdir()),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGE)
def test_whatever_is_wrong_with_the_file_one_sees_and_stops_what_runs(
    loaded: Studio, kind: str
) -> None:
    port, text = loaded.ports[0], loaded.registry_path.read_text()
    DAMAGE[kind](loaded)
    listed = loaded.mlxops("list")
    shown = loaded.mlxops("show", "amber")
    for answer in (listed, shown, loaded.mlxops("status")):
        document = answer.document
        assert (answer.exit, document["error"]["kind"]) == (5, "RegistryInvalid")
        hint = "registry" if kind == "a folder" else f"cp {loaded.registry_path}.bak"
        assert hint in document["error"]["hint"], document["error"]
    names = [model["name"] for model in listed.document["result"]["models"]]
    assert names == ["amber", "jade", "topaz"] and "its copy" in listed.stderr
    assert shown.document["result"]["entry"]["port"] == port
    for words in (["jobs"], ["history"], ["logs", port]):
        assert loaded.mlxops(*words).exit == 0, words
    word = loaded.mlxops("unload", loaded.slot(port))
    assert f"without the registry: mlxops unload {port}" in word.error["hint"]
    stopped = loaded.mlxops("unload-all")
    rows = {row["port"]: row for row in stopped.document["result"]["ports"]}
    assert (stopped.exit, rows[port]["state"], rows[port]["model"]) == (5, "free", "tiny/amber")
    assert {row["changed"] for p, row in rows.items() if p != port} == {False}
    if loaded.registry_path.is_dir():
        loaded.registry_path.rmdir()
    loaded.registry_path.write_text(text)
    loaded.must("reconcile")


def test_what_looks_like_a_mistake_of_a_hand_edit_is_said(loaded: Studio) -> None:
    port = loaded.ports[0]

    def edit(registry: dict[str, Any]) -> None:
        models = registry["models"]
        models["jade"].update(repo_id="typo", cache_path="", tool_cal_parser="qwen3")
        models["topaz"].update(port=port, other_tool="its own")

    before = loaded.registry_path.read_text()
    loaded.edit(edit)
    said = [
        "jade: unknown key 'tool_cal_parser' (did you mean 'tool_call_parser'?)",
        "jade: repo_id 'typo' does not have the form org/name",
        f"port {port} is assigned to amber and topaz",
    ]
    for verb in ("list", "status"):
        assert loaded.must(verb)["warnings"] == said
    loaded.registry_path.write_text(before)


def test_a_server_whose_entry_was_deleted_is_named_when_it_stops(loaded: Studio) -> None:
    port = loaded.ports[0]
    pid = loaded.entry("amber")["process"]["pid"]
    loaded.edit(lambda registry: registry["models"].pop("amber"))
    shown = loaded.start("unload", port, "--yes").communicate()[0]
    assert shown.startswith(
        f"{port} is free: pid {pid}, which served tiny/amber, was stopped (not in the registry)"
    )
