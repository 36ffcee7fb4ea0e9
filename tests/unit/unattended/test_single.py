"""reconcile on this machine: one at a time per host file, and never without an end."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from mlxops.agent.errors import LinkLost, Locked
from mlxops.hosts import files as hosts
from mlxops.hosts.files import Host
from mlxops.unattended import single_instance
from tests.support.cli_standin import HOST_FILE

ROOT = Path(__file__).parents[3]
DEAF = """#!/bin/sh
echo $$ >"$0.pid"
while read -r line; do :; done
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A local host whose interpreter never answers, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    deaf = tmp_path / "deaf"
    deaf.write_text(DEAF)
    deaf.chmod(0o755)
    text = HOST_FILE.replace("[studio]", f'transport = "local"\n[studio]\npython = "{deaf}"')
    (tmp_path / "lab.toml").write_text(text)
    return hosts.read_host(tmp_path / "lab.toml")


def reconcile(lab: Host, *more: str) -> subprocess.CompletedProcess[str]:
    words = [
        sys.executable,
        "-m",
        "mlxops",
        "--hosts-dir",
        str(lab.path.parent),
        "reconcile",
        "-q",
        *more,
    ]
    environment = {"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, env=environment, text=True, capture_output=True, timeout=60)


def eventually_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if b") Z " in Path(f"/proc/{pid}/stat").read_bytes():
            return
        time.sleep(0.02)
    raise AssertionError(f"pid {pid} lives on")


def test_a_second_one_is_told_who_runs_and_since_when(lab: Host) -> None:
    with single_instance.exclusive(lab):
        ended = reconcile(lab)
    assert (ended.returncode, ended.stdout) == (6, "")
    assert f"pid {os.getpid()} since 20" in ended.stderr
    assert not Path(lab.python or "").with_name("deaf.pid").exists()


def test_the_turn_is_over_with_its_process_and_the_file_stays(lab: Host) -> None:
    with single_instance.exclusive(lab):
        path = single_instance.lock_path(lab)
    assert path.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    with single_instance.exclusive(lab):
        assert path.read_text().startswith(f"pid {os.getpid()} ")


def test_another_host_file_has_a_turn_of_its_own(lab: Host, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lab.toml").write_text(HOST_FILE)
    with (
        single_instance.exclusive(lab),
        single_instance.exclusive(hosts.read_host(other / "lab.toml")),
        pytest.raises(Locked),
        single_instance.exclusive(lab),
    ):
        pass


def test_a_host_that_never_answers_is_given_up_in_time_and_left_clean(lab: Host) -> None:
    began = time.monotonic()
    ended = reconcile(lab, "--timeout", "1.5")
    assert 1.5 <= time.monotonic() - began < 10
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("mlxops: gave up after 1.5 s")
    pid = Path(lab.python or "").with_name("deaf.pid").read_text().strip()
    eventually_gone(int(pid))


def test_what_does_not_heed_the_end_is_ended_by_force(tmp_path: Path) -> None:
    script = """
import time
from mlxops.unattended import single_instance
single_instance.KILL_AFTER_S = 0.3
with single_instance.time_limit(0.2):
    while True:
        try:
            time.sleep(60)
        except Exception as exc:
            print(type(exc).__name__, flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stdout) == (LinkLost.exit_code, "LinkLost\n")


def test_a_bound_that_was_not_needed_leaves_no_alarm() -> None:
    with single_instance.time_limit(0.05):
        pass
    time.sleep(0.1)  # an alarm left behind would end this process by its default action


def test_the_lock_files_of_host_files_long_gone_are_pruned(lab: Host) -> None:
    with single_instance.exclusive(lab):
        own = single_instance.lock_path(lab)
    names = {"old": 91, "new": 89, "held": 91}
    for name, days in names.items():
        path = own.with_name(f"reconcile-{name}-00000000.lock")
        path.touch()
        path.with_suffix(".told.json").touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
    with (own.with_name("reconcile-held-00000000.lock")).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with single_instance.exclusive(lab):
            left = {path.name for path in own.parent.glob("reconcile-*")}
    assert left == {own.name} | {
        f"reconcile-{name}-00000000{end}"
        for name in ("new", "held")
        for end in (".lock", ".told.json")
    }


def test_a_lock_file_that_was_pruned_before_the_lock_is_made_anew(
    lab: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = single_instance.lock_path(lab), single_instance._open

    def pruned_once(here: Path) -> IO[str]:
        file = opened(here)
        monkeypatch.setattr(single_instance, "_open", opened)
        here.unlink()
        return file

    monkeypatch.setattr(single_instance, "_open", pruned_once)
    with single_instance.exclusive(lab):
        assert path.exists()
        with pytest.raises(Locked), single_instance.exclusive(lab):
            pass
