"""doctor really takes the registry's lock and writes beside it, and tells what hands mistyped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.healthy import Healthy, host
from tests.support.smalldisk import SmallDisk

__all__ = ["host"]
SHARED = """
import sys, fcntl, os
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.readline()
"""


def rows(host: Healthy, check: str) -> list[tuple[str, str]]:
    return [
        (row["verdict"], row["seen"]) for row in host.doctor()["checks"] if row["check"] == check
    ]


def test_what_it_tries_leaves_nothing_behind(host: Healthy) -> None:
    before = sorted(os.listdir(host.hub))
    assert [verdict for verdict, _ in rows(host, "registry writes")] == ["ok"]
    assert {*os.listdir(host.hub)} <= {*before, "registry.json.lock"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_takes_only_empty_files_is_told(host: Healthy, tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk") as disk:
        copy = disk.place / "registry.json"
        copy.write_bytes(host.registry.read_bytes())
        (disk.place / "registry.json.lock").touch()
        host.site["registry"] = str(copy)
        disk.fill()
        ((verdict, seen),) = rows(host, "registry writes")
    assert verdict == "wrong" and "No space left on device" in seen


@pytest.mark.parametrize("name", ["registry.json.bak", "registry.history.jsonl"])
def test_what_only_one_of_a_group_can_write_is_named(host: Healthy, name: str) -> None:
    (host.hub / name).write_text("{}")
    for each in (
        "registry.json",
        "registry.json.bak",
        "registry.history.jsonl",
        "registry.json.lock",
    ):
        if (host.hub / each).exists():
            (host.hub / each).chmod(0o664)
    (host.hub / name).chmod(0o644)
    verdicts = dict(rows(host, "registry writes"))
    assert name in verdicts["warning"] and "ok" in verdicts


def test_one_who_holds_the_lock_shared_is_told_by_pid(host: Healthy) -> None:
    lock = host.hub / "registry.json.lock"
    lock.touch()
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SHARED, str(lock)], **pipes) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        (found,) = rows(host, "registry lock")
        holder.kill()
    assert found[0] == "warning" and f"held by pid {holder.pid}" in found[1]


def test_a_key_that_is_nearly_ours_is_told_and_a_strange_one_is_not(host: Healthy) -> None:
    path = host.hub / "registry.json"
    document = json.loads(path.read_text())
    name = next(iter(document["models"]))
    document["models"][name].update(tool_call_parsr="qwen3", another_tools_key=1)
    path.write_text(json.dumps(document))
    told = rows(host, "registry keys")
    assert told == [
        ("warning", f"{name}: unknown key 'tool_call_parsr' (did you mean 'tool_call_parser'?)")
    ]


@pytest.mark.parametrize("repo_id", ["typo", "tiny/ambre"])
def test_a_repo_that_is_not_the_one_of_its_files_is_told(host: Healthy, repo_id: str) -> None:
    path = host.hub / "registry.json"
    document = json.loads(path.read_text())
    document["models"]["amber"]["repo_id"] = repo_id
    path.write_text(json.dumps(document))
    told = f"amber: repo_id is {repo_id!r}, but the files are those of tiny/amber"
    assert rows(host, "registry keys") == [("warning", told)]


@pytest.mark.parametrize(
    ("names", "verdict", "seen", "mend"),
    [
        ("ab", "wrong", "is wanted by a and b", "load the one you want there: mlxops load a "),
        ("a", "warning", "a is wanted on port 1, which is not one of this host's", "`ports` in"),
    ],
)
def test_ports_that_two_want_or_that_the_host_does_not_have(
    host: Healthy, names: str, verdict: str, seen: str, mend: str
) -> None:
    for name in names:
        host.enter(name, wanted=1 if len(names) == 1 else host.port)
    told = [row for row in host.rows() if row["verdict"] != "ok"]
    assert [(row["check"], row["verdict"]) for row in told] == [("assignments", verdict)]
    assert seen in told[0]["seen"] and mend in told[0]["mend"], told
