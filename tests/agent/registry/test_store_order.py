"""The order in which the registry's file is read, written, synced and renamed, which no kill -9
would show. Runs on Python 3.9 too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mlxops.agent.registry.entries import REQUIRED, Entry, dump, parse
from mlxops.agent.registry.store import Store
from tests.support.writers import ADD_WHEN_FREE, HOLD, ROOT, WHO, ended, running

# The saboteur of the fault harness, with nothing to strike at, writes down every step.
WATCHED = """
import sys
home, harness, log, path = sys.argv[1:]
sys.path[:0] = [home, harness]
import saboteur
saboteur.arm(home, {"log": log, "step": None, "fault": None}, -1)
from agent.procs import local_procs
from agent.registry.entries import REQUIRED, Entry
from agent.registry.store import Store
store = Store(path, {"who": "alice"}, local_procs().sync)
store.edit("add", lambda now: now.put(Entry("jade", dict(REQUIRED))))
"""
# F_FULLFSYNC is what makes a file durable on a Mac.
DURABLE = {"os.fsync": "sync", "fcntl.fcntl": "sync", "os.rename": "rename", "write": "write"}


def steps(path: Path, log: Path) -> list[tuple[str, str]]:
    """The steps of one edit, in order, each with the function of the store that does it."""
    folders = [str(ROOT / "mlxops"), str(ROOT / "tests" / "faults")]
    subprocess.run(
        [sys.executable, "-S", "-B", "-c", WATCHED, *folders, str(log), str(path)], check=True
    )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        (DURABLE[line["event"]], _in_store(line["place"]))
        for line in lines
        if line["event"] in DURABLE
    ]


def _in_store(place: str) -> str:
    """The innermost function of registry/store.py on the way to a step."""
    return next(
        step.rpartition(":")[2]
        for step in place.split(" < ")
        if step.startswith("registry/store.py:")
    )


def test_a_file_is_durable_before_it_gets_its_name_and_the_name_before_the_edit_is_done(
    tmp_path: Path,
):
    path = tmp_path / "registry.json"
    Store(str(path), WHO).edit("add", lambda now: now.put(Entry("amber", dict(REQUIRED))))
    written = [("write", "_write"), ("sync", "_write")]
    named = [("rename", "_replace"), ("rename", "_keep"), ("rename", "_keep")]
    done = [("sync", "_sync_folder"), ("write", "_append_history")]
    assert steps(path, tmp_path / "log") == [*written, *written, *named, *done]
    assert set(parse(path.read_bytes()).entries) == {"amber", "jade"}


def test_an_edit_that_waited_for_the_lock_works_on_what_its_holder_wrote(tmp_path: Path):
    path = tmp_path / "registry.json"
    path.write_bytes(dump(parse(b"{}").put(Entry("amber", dict(REQUIRED)))))
    with (
        running(HOLD, str(path) + ".lock", "alice") as holder,
        running(ADD_WHEN_FREE, path, "topaz") as waiting,
    ):
        assert waiting.said == "waiting"
        path.write_bytes(dump(parse(path.read_bytes()).put(Entry("jade", dict(REQUIRED)))))
        holder.communicate("\n")
        assert ended(waiting) == "amber jade topaz\n"
