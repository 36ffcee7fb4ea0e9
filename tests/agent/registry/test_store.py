"""The registry's file with many writers, kills and full disks. Runs on Python 3.9 too."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import AssignmentConflict, Failed, RegistryInvalid
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry, dump, parse
from mlxops.agent.registry.store import Store
from tests.support.writers import (
    ADD,
    COUNT,
    HOLD,
    SMALL_DISK,
    STUCK_IN_WRITE,
    WHO,
    adding,
    ended,
    reads,
    running,
    start,
)

WRITERS, EDITS = 16, 25
COPIES = ("registry.json.bak", "registry.json.bak.1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.json"


@pytest.fixture
def store(path: Path) -> Store:
    return Store(str(path), WHO)


def history(path: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in path.with_suffix(".history.jsonl").read_text().splitlines()
    ]


def drafts(path: Path) -> list[str]:
    return [name for name in others(path) if ".tmp" in name]


def others(path: Path) -> set[str]:
    return {name for name in os.listdir(str(path.parent)) if name != path.name}


@pytest.mark.slow
def test_no_edit_of_sixteen_writers_is_lost_and_the_file_is_whole_at_every_moment(path: Path):
    writers = [start(ADD, path, f"writer{number}", EDITS) for number in range(WRITERS)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        content = reads(path)
        assert not content or len(parse(content).entries) >= seen
        seen = len(parse(content).entries) if content else 0
        time.sleep(0.01)
    for writer in writers:
        ended(writer)
    assert set(parse(path.read_bytes()).entries) == {
        f"writer{writer}-{edit}" for writer in range(WRITERS) for edit in range(EDITS)
    }
    assert len(history(path)) == WRITERS * EDITS
    assert others(path) == {*COPIES, "registry.json.lock", "registry.history.jsonl"}


def test_every_edit_works_on_what_the_one_before_wrote(path: Path):
    for writer in [start(COUNT, path, f"writer{number}", 20) for number in range(4)]:
        ended(writer)
    assert parse(path.read_bytes()).entries["shared"].fields["count"] == 80


def test_a_writer_killed_in_the_middle_changes_nothing_and_blocks_nobody(path: Path, store: Store):
    store.edit("add", adding("amber"))
    content = path.read_bytes()
    with running(STUCK_IN_WRITE, path, "jade") as writer:
        assert writer.said == "writing"
        writer.kill()
        writer.wait()
    assert path.read_bytes() == content
    assert set(store.edit("add", adding("topaz")).entries) == {"amber", "topaz"}
    assert drafts(path) == []


def test_readers_need_no_lock(path: Path, store: Store):
    store.edit("add", adding("amber"))
    with running(HOLD, str(path) + ".lock", "alice"):
        assert list(store.read().entries) == ["amber"]


def test_the_last_write_and_the_one_before_are_always_kept(path: Path, store: Store):
    assert store.read() == Registry({}, {})
    assert others(path) == set()
    first = store.edit("add", adding("amber"))
    assert [kept(path, name) for name in COPIES] == [first, None]
    second = store.edit("add", adding("jade"))
    assert ([kept(path, name) for name in COPIES], store.read()) == ([second, first], second)


def test_what_a_person_wrote_is_kept_too_when_it_is_replaced(path: Path, store: Store):
    store.edit("add", adding("amber"))
    by_hand = adding("byhand")(store.read())
    path.write_bytes(dump(by_hand))
    after = store.edit("add", adding("jade"))
    assert [kept(path, name) for name in COPIES] == [after, by_hand]


def kept(path: Path, name: str) -> Registry | None:
    copy = path.with_name(name)
    return parse(copy.read_bytes()) if copy.exists() else None


def test_an_edit_that_changes_nothing_writes_nothing(path: Path, store: Store):
    store.edit("add", adding("amber"))
    before = (path.stat().st_ino, path.stat().st_mtime_ns, history(path))
    store.edit("again", adding("amber"))
    assert (path.stat().st_ino, path.stat().st_mtime_ns, history(path)) == before


def test_history_says_who_when_what_before_and_after(path: Path, store: Store):
    store.edit("add", adding("amber", port=None))
    record = {"pid": 7, "launched_by": "alice@mini"}
    store.edit("load amber 8100", lambda now: now.assign("amber", 8100, record))
    line = history(path)[1]
    assert (line["who"], line["from"], line["what"]) == ("alice", "mini", "load amber 8100")
    assert time.strptime(line["at"], "%Y-%m-%dT%H:%M:%SZ")
    assert line["changes"] == [
        {"entry": "amber", "field": "port", "before": None, "after": 8100},
        {"entry": "amber", "field": "process", "before": None, "after": record},
    ]


def test_the_first_write_stores_what_a_registry_without_wanted_implies(path: Path, store: Store):
    path.write_text(json.dumps({"version": 1, "models": {"amber": {"port": 8100}, "jade": {}}}))
    before = path.read_bytes()
    store.edit("nothing", lambda now: now)
    assert path.read_bytes() == before and store.read().entries["amber"].wanted == 8100
    store.edit("add", adding("topaz", port=None))
    models = json.loads(path.read_bytes())["models"]
    assert models["amber"] == {"port": 8100, "wanted": 8100} and models["jade"] == {}


def test_a_write_that_adopts_a_server_stores_that_its_port_is_wanted(path: Path, store: Store):
    store.edit("add", adding("amber", port=None))
    store.edit("init", adding("amber", port=8100, process={"pid": 7, "launched_by": "adopted"}))
    assert json.loads(path.read_bytes())["models"]["amber"]["wanted"] == 8100


CORRUPT = b'{"version": 1,\n "models": {"amber": {,}}}'


def test_a_corrupt_file_is_named_with_its_place_and_the_last_good_copy_and_left_alone(
    path: Path, store: Store
):
    store.edit("add", adding("amber"))
    store.edit("add", adding("jade"))
    path.write_bytes(CORRUPT)
    with pytest.raises(RegistryInvalid, match=r"line 2, column 2\d") as refused:
        store.edit("add", adding("topaz"))
    backup = str(path) + ".bak"
    assert (refused.value.fields["path"], refused.value.fields["backup"]) == (str(path), backup)
    assert f"cp {backup} {path}" in refused.value.hint
    assert path.read_bytes() == CORRUPT
    assert list(parse(Path(backup).read_bytes()).entries) == ["amber", "jade"]


def test_the_hinted_command_restores_what_was_written_last(path: Path, store: Store):
    """Also if the newest copy is damaged: the hint names the next good one."""
    for name in ("amber", "jade", "topaz"):
        store.edit("add", adding(name))
    for damaged, left in (
        ("registry.json", ["amber", "jade", "topaz"]),
        ("registry.json.bak", ["amber", "jade"]),
    ):
        path.with_name(damaged).write_bytes(CORRUPT)
        path.write_bytes(b"")
        with pytest.raises(RegistryInvalid) as refused:
            store.read()
        subprocess.run(["sh", "-c", refused.value.hint.rpartition(": ")[2]], check=True)
        assert list(store.read().entries) == left


def test_a_backup_that_is_no_good_is_not_named_as_one(path: Path, store: Store):
    path.write_bytes(CORRUPT)
    Path(str(path) + ".bak").write_bytes(CORRUPT)
    with pytest.raises(RegistryInvalid) as refused:
        store.read()
    assert "backup" not in refused.value.fields


def test_version_two_is_refused_and_left_byte_for_byte(path: Path, store: Store):
    path.write_bytes(b'{"version": 2, "lanes": {}}')
    with pytest.raises(RegistryInvalid, match="lanes"):
        store.edit("add", adding("amber"))
    assert path.read_bytes() == b'{"version": 2, "lanes": {}}'


def test_a_registry_that_vanished_is_not_an_empty_one(path: Path, store: Store):
    store.edit("add", adding("amber"))
    store.edit("add", adding("jade"))
    path.unlink()
    with pytest.raises(RegistryInvalid, match="is missing; a backup exists") as refused:
        store.edit("add", adding("topaz"))
    assert refused.value.fields["backup"] == str(path) + ".bak"
    assert not path.exists()


def test_a_folder_that_is_not_there_is_not_an_empty_registry(tmp_path: Path):
    with pytest.raises(RegistryInvalid, match="does not exist"):
        Store(str(tmp_path / "unmounted" / "registry.json"), WHO).read()


@pytest.mark.parametrize("in_place", [True, False])
def test_a_hand_edit_before_the_rename_is_kept(path: Path, store: Store, in_place: bool):
    store.edit("add", adding("amber"))
    calls = []

    def change(now: Registry) -> Registry:
        calls.append(list(now.entries))
        if len(calls) == 1:
            by_hand = dump(now.put(Entry("byhand", dict(REQUIRED))))
            target = path if in_place else path.with_name("draft")
            target.write_bytes(by_hand)
            os.replace(str(target), str(path))
        return now.put(Entry("jade", dict(REQUIRED)))

    assert set(store.edit("add", change).entries) == {"amber", "byhand", "jade"}
    assert calls == [["amber"], ["amber", "byhand"]]
    assert set(store.read().entries) == {"amber", "byhand", "jade"}


def test_somebody_who_never_stops_editing_by_hand_wins(path: Path, store: Store):
    store.edit("add", adding("amber"))

    def change(now: Registry) -> Registry:
        path.write_bytes(path.read_bytes() + b"\n")
        return now.put(Entry("jade", dict(REQUIRED)))

    with pytest.raises(Failed, match="by hand; nothing was written"):
        store.edit("add", change)
    assert list(store.read().entries) == ["amber"]


def test_a_change_that_fails_writes_nothing_and_frees_the_lock(path: Path, store: Store):
    with pytest.raises(KeyError):
        store.edit("fail", lambda now: now.assign("nobody", 8100, None))
    assert not path.exists()
    store.edit("add", adding("amber"))


def test_an_edit_never_gives_one_port_to_two(path: Path, store: Store):
    store.edit("add", lambda now: adding("jade", port=8101)(adding("amber", port=8100)(now)))
    with pytest.raises(AssignmentConflict, match="8100 would be assigned to amber and jade"):
        store.edit("wrong", adding("jade", port=8100))
    assert store.read().duplicates() == {}


def test_a_double_that_a_hand_edit_made_hinders_no_other_edit(path: Path, store: Store):
    path.write_bytes(dump(adding("jade", port=8100)(adding("amber", port=8100)(Registry({}, {})))))
    store.edit("add", adding("topaz"))
    with pytest.raises(AssignmentConflict):
        store.edit("wrong", adding("topaz", port=8100))
    assert store.edit("clear", lambda now: now.clear(8100)).duplicates() == {}


@pytest.mark.parametrize("limit", [0, 1, 50_000])
def test_a_full_disk_is_a_failure_that_changes_nothing(path: Path, store: Store, limit: int):
    store.edit("add", adding("amber"))
    store.edit("add", adding("jade"))
    content, backup = path.read_bytes(), Path(str(path) + ".bak").read_bytes()
    said = ended(start(SMALL_DISK, path, "topaz", limit))
    assert said.startswith(f"NotEnoughDisk cannot write {path}: File too large; it is unchanged")
    assert path.read_bytes() == content
    assert Path(str(path) + ".bak").read_bytes() in (content, backup)
    assert drafts(path) == []
    assert set(store.edit("add", adding("topaz")).entries) == {"amber", "jade", "topaz"}


def test_a_history_that_cannot_be_written_undoes_nothing(path: Path, store: Store):
    path.with_suffix(".history.jsonl").mkdir()
    store.edit("add", adding("amber"))
    assert list(store.read().entries) == ["amber"]
