"""Which snapshot of a cache is the current one, and its size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops.agent.errors import EvidenceUnknown
from mlxops.agent.models import cache as hfcache
from mlxops.demo.tinymodel import model_files, write_cache

OLD, NEW = model_files(["old"], seed=1), model_files(["new"], seed=2)


def repo(root: Path, repo_id: str) -> Path:
    return root / hfcache.repo_folder(repo_id)


def test_refs_main_decides_and_mtime_does_not(tmp_path: Path) -> None:
    wanted = write_cache(tmp_path / "hub", "tiny/a", NEW)
    newest = write_cache(tmp_path / "hub", "tiny/a", OLD)
    (repo(tmp_path / "hub", "tiny/a") / "refs" / "main").write_text(wanted.name + "\n")
    os.utime(newest, (4e9, 4e9))
    [found] = hfcache.scan(str(tmp_path))
    assert (found.revision, found.path, found.complete) == (wanted.name, str(wanted), True)
    assert hfcache.find(str(tmp_path), "tiny/a") == found


def test_both_roots_are_scanned(tmp_path: Path) -> None:
    write_cache(tmp_path / "hub", "tiny/in-hub", OLD)
    write_cache(tmp_path, "tiny/in-home", NEW)
    found = {s.repo_id: s.root for s in hfcache.scan(str(tmp_path))}
    assert found == {"tiny/in-hub": str(tmp_path / "hub"), "tiny/in-home": str(tmp_path)}


def test_a_root_linked_to_the_other_is_scanned_once(tmp_path: Path) -> None:
    write_cache(tmp_path, "tiny/a", OLD)
    (tmp_path / "hub").symlink_to(".")
    assert [s.repo_id for s in hfcache.scan(str(tmp_path))] == ["tiny/a"]


def test_a_complete_snapshot_of_the_second_root_wins_over_a_partial_one_of_the_first(
    tmp_path: Path,
) -> None:
    partial = write_cache(tmp_path / "hub", "tiny/a", OLD)
    (partial / "model.safetensors").unlink()
    whole = write_cache(tmp_path, "tiny/a", OLD)
    found = hfcache.find(str(tmp_path), "tiny/a")
    assert found and (found.path, found.complete) == (str(whole), True)
    (whole / "config.json").unlink()
    still = hfcache.find(str(tmp_path), "tiny/a")
    assert still and (still.path, still.missing) == (str(partial), ("model.safetensors",))


def test_a_revision_is_a_commit_or_a_branch(tmp_path: Path) -> None:
    old = write_cache(tmp_path / "hub", "tiny/a", OLD)
    write_cache(tmp_path / "hub", "tiny/a", NEW)
    branch = repo(tmp_path / "hub", "tiny/a") / "refs" / "refs" / "pr" / "1"
    branch.parent.mkdir(parents=True)
    branch.write_text(old.name)
    for revision in (old.name, "refs/pr/1"):
        found = hfcache.find(str(tmp_path), "tiny/a", revision)
        assert found and found.path == str(old)
    assert hfcache.find(str(tmp_path), "tiny/a", "nope") is None


def test_without_refs_main_only_a_single_snapshot_is_unambiguous(tmp_path: Path) -> None:
    first = write_cache(tmp_path / "hub", "tiny/a", OLD)
    (repo(tmp_path / "hub", "tiny/a") / "refs" / "main").unlink()
    assert [s.path for s in hfcache.scan(str(tmp_path))] == [str(first)]
    write_cache(tmp_path / "hub", "tiny/a", NEW)
    (repo(tmp_path / "hub", "tiny/a") / "refs" / "main").unlink()
    assert hfcache.scan(str(tmp_path)) == ()


@pytest.mark.parametrize("ref", ["../../../outside", "..", "", "a/b", "\0", "x" * 300])
def test_a_hostile_ref_names_no_snapshot(tmp_path: Path, ref: str) -> None:
    snapshot = write_cache(tmp_path / "hub", "tiny/a", OLD)
    write_cache(tmp_path / "hub", "tiny/a", NEW)
    snapshot.rename(tmp_path / "outside")
    (repo(tmp_path / "hub", "tiny/a") / "refs" / "main").write_text(ref)
    assert hfcache.find(str(tmp_path), "tiny/a") is None


@pytest.mark.parametrize("word", ["", "a/b/c", "../a", "a/..", "a--b/c", "/a", "a/", "a\0/b"])
def test_a_word_that_is_no_repository_is_not_found(tmp_path: Path, word: str) -> None:
    assert hfcache.repo_folder(word) == ""
    assert hfcache.find(str(tmp_path), word) is None


def test_datasets_spaces_and_strangers_are_no_models(tmp_path: Path) -> None:
    for name in (
        "datasets--a--b",
        "spaces--a--b",
        "models--",
        "models--a--b--c",
        ".locks",
        "blobs",
        "models----x",
    ):
        (tmp_path / "hub" / name / "snapshots" / "abc").mkdir(parents=True)
    assert hfcache.scan(str(tmp_path)) == ()


def test_a_snapshot_that_cannot_be_listed_says_so(tmp_path: Path) -> None:
    snapshot = write_cache(tmp_path / "hub", "tiny/a", OLD)
    snapshot.rename(tmp_path / "moved")
    snapshot.write_text("a file where a folder should be")
    [found] = hfcache.scan(str(tmp_path))
    assert found.missing == (f"{snapshot}: Not a directory",) and found.size_bytes is None


def test_a_root_that_cannot_be_listed_is_unknown_and_never_empty(tmp_path: Path) -> None:
    (tmp_path / "hub").symlink_to("hub")
    with pytest.raises(EvidenceUnknown, match=r"cannot read the model cache .*hub"):
        hfcache.scan(str(tmp_path))
    assert hfcache.scan(str(tmp_path / "absent")) == ()


def test_a_blob_linked_twice_is_counted_once(tmp_path: Path) -> None:
    snapshot = write_cache(tmp_path / "hub", "tiny/a", OLD)
    before = hfcache.size_bytes(str(snapshot))
    (snapshot / "again.safetensors").symlink_to((snapshot / "model.safetensors").resolve())
    assert before == sum(map(len, OLD.values())) == hfcache.size_bytes(str(snapshot))


def test_loops_and_dangling_links_cost_no_size(tmp_path: Path) -> None:
    snapshot = write_cache(tmp_path / "hub", "tiny/a", OLD)
    before = hfcache.size_bytes(str(snapshot))
    (snapshot / "loop").symlink_to(snapshot)
    (snapshot / "self").symlink_to("self")
    (snapshot / "dangling").symlink_to("nowhere")
    os.mkfifo(snapshot / "pipe")
    assert hfcache.size_bytes(str(snapshot)) == before
    assert hfcache.inspect(str(snapshot)).complete
    assert hfcache.size_bytes(str(snapshot / "absent")) is None


def test_weights_are_what_the_index_names_or_unknown(tmp_path: Path) -> None:
    snapshot = write_cache(tmp_path / "hub", "tiny/a", OLD)
    (snapshot / "extra.safetensors").write_bytes(b"x" * 100)
    assert hfcache.weights_bytes(str(snapshot)) == len(OLD["model.safetensors"])
    (snapshot / "model.safetensors").unlink()
    assert hfcache.weights_bytes(str(snapshot)) is None


def test_a_plain_folder_outside_a_cache_can_be_inspected(tmp_path: Path) -> None:
    for name, content in OLD.items():
        (tmp_path / name).write_bytes(content)
    found = hfcache.inspect(str(tmp_path))
    assert (found.repo_id, found.revision, found.root, found.complete) == ("", "", "", True)
    with pytest.raises(FileNotFoundError):
        hfcache.inspect(str(tmp_path / "absent"))
