"""A host without a free thread, file, process or disk block: true messages, no false evidence."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import RegistryInvalid, to_mlxops_error
from mlxops.agent.ports import probe
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.registry.store import Store
from tests.support.studio import ROOT

ASKS = """
import resource, socket, sys
from mlxops.agent.errors import to_mlxops_error
from mlxops.agent.ports import probe
with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]), int(sys.argv[2])))
    try:
        print(probe.ask("127.0.0.1", port, 1.0))
    except Exception as exc:
        error = to_mlxops_error(exc)
        print(error.kind, error.exit_code, error.message, "trace" in error.fields)
"""


def asked(limit: str, value: int) -> str:
    argv = [sys.executable, "-c", ASKS, limit, str(value)]
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60).stdout


def test_a_port_is_not_called_silent_for_want_of_a_descriptor() -> None:
    """Descriptors for the standard streams and the listening socket, but not for a connection."""
    assert asked("RLIMIT_NOFILE", 4) == "Failed 1 the agent cannot open any more files False\n"


def test_no_room_for_a_thread_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError) as raised:
            probe.ask("127.0.0.1", server.getsockname()[1], 1.0)
        # What needs no thread of its own is done without.
        assert probe.call_all(
            {number: lambda number=number: number * 2 for number in range(5)}
        ) == {number: number * 2 for number in range(5)}
    error = to_mlxops_error(raised.value)
    assert (
        error.message == "the host cannot start another thread or process"
        and "trace" not in error.fields
    )


@pytest.mark.parametrize(
    ("exc", "kind", "said"),
    [
        (
            BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
            "Failed",
            "another thread or process",
        ),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "Failed", "any more files"),
        (MemoryError(), "NotEnoughMemory", "no memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "NotEnoughMemory", "no memory"),
    ],
)
def test_limits_of_the_host_are_told_as_such(exc: Exception, kind: str, said: str) -> None:
    error = to_mlxops_error(exc)
    assert (
        error.kind == kind
        and said in error.message
        and "defect" not in error.message
        and error.hint
    )


def test_many_ports_are_asked_by_a_bounded_number_of_threads() -> None:
    seen: list[int] = []
    found = probe.call_all(
        {number: lambda: seen.append(threading.active_count()) for number in range(2000)}
    )
    assert len(found) == 2000 and max(seen) <= probe.MAX_THREADS + 8


def test_a_disk_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.json"
    Store(str(path), {}).edit("add", lambda now: now.put(Entry("a", dict(REQUIRED))))

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError) as raised:
        FileLock(str(tmp_path / "x.lock")).acquire({}, 0)
    assert to_mlxops_error(raised.value).message == f"{tmp_path / 'x.lock'}: Input/output error"
    monkeypatch.undo()
    monkeypatch.setattr(os, "stat", fail)
    with pytest.raises(
        RegistryInvalid, match=r"cannot read .*registry\.json: Input/output error"
    ) as refused:
        Store(str(path), {}).read()
    assert "disk" in refused.value.hint
