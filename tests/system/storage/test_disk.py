"""disk shows what the cache holds and who uses it; --prune removes only what nobody uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.studio import Studio, finished
from tests.support.terminal import Terminal

OPAL = "tiny/opal"


@pytest.fixture
def opal(one: Studio) -> Path:
    """The snapshot of a model that has no entry."""
    return one.add(OPAL, model_files([" OPAL"]))


def states(studio: Studio, *words: str) -> dict[str, str]:
    """The end of each item's path -> its state."""
    items = studio.must("disk", *words)["items"]
    return {"/".join(Path(item["path"]).parts[-3:]): item["state"] for item in items}


def state(studio: Studio, path: Path) -> str:
    return states(studio).get("/".join(path.parts[-3:]), "gone")


def snapshot_of(studio: Studio, entry: str) -> Path:
    return Path(studio.entry(entry)["cache_path"])


def test_a_model_without_an_entry_is_pruned_and_the_others_stay(one: Studio, opal: Path) -> None:
    before = one.must("disk")
    assert state(one, opal) == "unused" and state(one, snapshot_of(one, "jade")) == "registered"
    size = next(item["size_bytes"] for item in before["items"] if item["repo_id"] == OPAL)
    assert before["prunable_bytes"] == size > 0
    assert before["disks"][0]["free_bytes"] > 0

    dry = one.must("disk", "--prune", "--dry-run")
    assert opal.is_dir() and dry["freed_bytes"] == 0

    done = one.must("disk", "--prune", "--yes")
    assert [row["repo_id"] for row in done["pruned"]] == [OPAL]
    assert done["freed_bytes"] == size
    assert not opal.parents[1].exists()
    assert snapshot_of(one, "jade").is_dir() and len(one.registry()["models"]) == 3
    assert one.must("disk")["prunable_bytes"] == 0
    for words in (["--prune", "--dry-run"], ["--prune", "--yes"]):
        assert "mlxops remove ENTRY --files" in finished(one.start("disk", *words)).stdout


def test_a_script_must_say_yes(one: Studio, opal: Path) -> None:
    answer = one.mlxops("disk", "--prune")
    assert (answer.exit, answer.error["kind"]) == (2, "Usage")
    assert "--dry-run" in answer.error["hint"] and opal.is_dir()


def test_a_person_is_asked_and_may_say_no(one: Studio, opal: Path) -> None:
    terminal = Terminal(one, "disk", "--prune")
    terminal.until("Remove 1 item and free")
    terminal.type(b"n\n")
    assert terminal.end() == 1 and "nothing was removed" in terminal.shown
    assert opal.is_dir()
    terminal = Terminal(one, "disk", "--prune")
    terminal.until("Remove 1 item and free")
    terminal.type(b"y\n")
    assert terminal.end() == 0
    assert not opal.exists()


def test_a_model_that_a_process_names_is_in_use(one: Studio, opal: Path) -> None:
    words = [sys.executable, "-c", "input()", "--model", str(opal)]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert state(one, opal) == "in use"
        assert one.must("disk", "--prune", OPAL, "--yes")["pruned"] == []
        process.communicate(b"\n")
    assert state(one, opal) == "unused"


def test_what_an_entry_names_in_its_arguments_is_in_use(one: Studio, opal: Path) -> None:
    one.edit(lambda document: document["models"]["jade"].update(args=["--draft-model", OPAL]))
    assert state(one, opal) == "in use"


def test_a_model_that_the_host_file_declares_stays(one: Studio, opal: Path) -> None:
    one.declare({one.ports[0]: OPAL})
    assert state(one, opal) == "declared"


def test_an_old_revision_goes_and_shared_blobs_stay(one: Studio) -> None:
    old = snapshot_of(one, "jade")
    new = one.add("tiny/jade", model_files([" NEW JADE"]))
    one.edit(lambda document: document["models"]["jade"].update(cache_path=str(new)))
    assert state(one, old) == "old"
    # The two revisions have all but their weights in common.
    done = one.must("disk", "--prune", "--yes")
    assert 0 < done["freed_bytes"] < sum(path.stat().st_size for path in new.iterdir())
    assert not old.exists()
    one.must("load", "jade", one.ports[0])


def test_only_a_named_model_of_another_program_is_removed(one: Studio) -> None:
    whisper = one.add("tiny/whisper", {"config.json": b'{"model_type": "whisper"}'})
    assert state(one, whisper) == "other"
    assert one.must("disk", "--prune", "--yes")["pruned"] == []
    assert whisper.is_dir()
    assert len(one.must("disk", "--prune", "tiny/whisper", "--yes")["pruned"]) == 1
    assert not whisper.exists()


def test_parts_of_an_interrupted_download_are_pruned(one: Studio) -> None:
    blobs = snapshot_of(one, "jade").parents[1] / "blobs"
    part = blobs / f"{'a' * 64}.incomplete"
    part.write_bytes(bytes(5000))
    assert state(one, part) == "partial"
    one.must("disk", "--prune", "--yes")
    assert not part.exists() and snapshot_of(one, "jade").is_dir()


def test_an_unknown_word_is_refused(one: Studio, opal: Path) -> None:
    answer = one.mlxops("disk", "--prune", "tiny/opla", "--yes")
    assert (answer.exit, answer.error["kind"]) == (9, "ModelUnknown")
    assert opal.is_dir()


def test_with_an_unreadable_registry_it_shows_and_removes_nothing(one: Studio, opal: Path) -> None:
    one.registry_path.write_text("{")
    answer = one.mlxops("disk")
    assert answer.exit == 5 and answer.document["result"]["items"]
    assert not any(item["removable"] for item in answer.document["result"]["items"])
    assert one.mlxops("disk", "--prune", "--yes").exit == 5
    assert opal.is_dir()


def test_a_link_to_another_disk_loses_its_snapshot_only(one: Studio, tmp_path: Path) -> None:
    snapshot = write_cache(tmp_path / "volume", OPAL, model_files([" OPAL"]))
    link = one.hub / "models--tiny--opal"
    link.symlink_to(snapshot.parents[1])
    one.must("disk", "--prune", OPAL, "--yes")
    assert not snapshot.exists() and not link.is_symlink()


def test_remove_with_files_removes_both(one: Studio) -> None:
    jade = snapshot_of(one, "jade")
    one.must("remove", "jade", "--files", "--dry-run")
    assert jade.is_dir()
    one.must("remove", "jade", "--files")
    assert not jade.exists() and "jade" not in one.registry()["models"]


def test_remove_with_files_refuses_files_in_use(one: Studio) -> None:
    repo = one.entry("jade")["repo_id"]
    one.edit(lambda document: document["models"]["amber"].update(args=["--draft-model", repo]))
    answer = one.mlxops("remove", "jade", "--files")
    assert answer.exit == 1 and "entry amber" in answer.error["message"]
    assert snapshot_of(one, "jade").is_dir()
