"""A lock's holder that hangs is named; a dead one blocks nobody. `lock` shows both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.stopping import stopping
from tests.support.studio import ROOT, Studio, finished
from tests.support.watching import refused

pytestmark = pytest.mark.slow

HOLDER = """
import json, sys
from mlxops.agent.registry.lock import FileLock
FileLock(sys.argv[1]).acquire(json.loads(sys.argv[2]), 10)
print("held", flush=True)
sys.stdin.readline()
"""
ALICE = {"who": "alice", "from": "laptop", "since": "2026-01-02T03:04:05Z", "why": "set jade"}


@contextmanager
def holding(path: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", HOLDER, path, json.dumps(ALICE)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        argv, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def locks(studio: Studio) -> dict[int | None, dict[str, Any]]:
    return {lock["port"]: lock for lock in studio.must("lock")["locks"] if lock["held"]}


def test_one_who_keeps_the_registry_is_told_until_it_is_dead(known: Studio) -> None:
    words = "set", "amber", "args=--queue-size 7"
    with holding(f"{known.registry_path}.lock") as holder:
        waiting = known.start("--json", *words)
        assert locks(known)[None].items() >= ALICE.items()
        assert all(
            word in finished(known.start("lock")).stdout
            for word in ("registry", "alice@laptop", "set jade")
        )
        assert len(known.must("list")["models"]) == 3
        error = refused(finished(waiting), 6, "Locked")
        assert (
            error["message"] == "locked: set jade by alice from laptop since 2026-01-02T03:04:05Z"
        )
        assert error["holder"] == ALICE
        holder.kill()
        holder.wait()
        assert known.must(*words)["changed"] and locks(known) == {}


def test_an_agent_that_stands_still_keeps_its_port_until_it_is_dead(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    with stopping(known, fake_runtime) as swap:
        os.kill(swap.held["pid"], signal.SIGSTOP)
        shown = locks(known)
        assert shown.keys() == {swap.port}
        told = {
            key: swap.held[key] for key in ("who", "from", "since", "why", "phase", "job", "pid")
        }
        assert shown[swap.port].items() >= told.items() and told["phase"] == "stop"
        for words in (["unload", swap.port], ["load", "topaz", swap.port, "--replace"]):
            error = refused(known.mlxops(*words), 6, "Locked")
            assert all(
                str(told[key]) in error["message"] for key in ("who", "from", "since", "why")
            )
        swap.killed()
    assert locks(known) == {}
    assert known.must("load", "topaz", swap.port)["state"] == "ready"
