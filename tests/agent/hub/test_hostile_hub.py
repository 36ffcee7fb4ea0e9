"""A Hub that lies: whatever it says, nothing is written outside the cache, and no more than it
announced."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from mlxops.agent.errors import MlxopsError, NotDownloadable, NotEnoughDisk
from mlxops.agent.hub import download as fetch
from tests.support.fetching import LARGE, LARGE_BYTES, REPO, Fetch, own

OLD_HUB = huggingface_hub.__version__.startswith(("0.", "1."))

OUT = "../../../../../../../../../../../.."


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "remote" not in path.parts}


def failed(fetching: Fetch) -> MlxopsError:
    with pytest.raises(MlxopsError) as caught:
        fetching.download(tries=2)
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("etag", {"ETag": '"{out}{tmp}/ETAGGED"', "X-Linked-Etag": '"{out}{tmp}/ETAGGED"'}),
        ("another etag", {"ETag": f'"{"0" * 40}"', "X-Linked-Etag": f'"{"0" * 40}"'}),
        ("no etag", {"ETag": '""', "X-Linked-Etag": '""'}),
        ("commit", {"X-Repo-Commit": "{out}{tmp}/COMMIT"}),
        ("another commit", {"X-Repo-Commit": "1" * 40}),
        ("size", {"X-Linked-Size": "999999999999"}),
        ("negative size", {"X-Linked-Size": "-5"}),
    ],
)
def test_answers_that_differ_from_the_listing_write_nothing(
    fetching: Fetch, tmp_path: Path, what: str, said: dict[str, str]
) -> None:
    fetching.hub.lies.headers = {
        name: text.format(out=OUT, tmp=tmp_path) for name, text in said.items()
    }
    error = failed(fetching)
    assert isinstance(error, NotDownloadable) and error.fields["reason"] == "lie", error
    written = [
        path
        for path in everything(tmp_path)
        if path.is_file() and not path.name.endswith((".lock", ".TAG"))
    ]
    assert not [path for path in written if not path.is_relative_to(fetching.cache)]
    assert not list(tmp_path.rglob("*ETAGGED*")) and not list(tmp_path.rglob("*COMMIT*"))
    assert not (fetching.repo / "refs" / "main").exists()


def test_the_commit_of_a_file_that_is_not_there_is_no_path(fetching: Fetch, tmp_path: Path) -> None:
    fetching.hub.lies.absent = {"tokenizer.json": f"{OUT}{tmp_path}/NOWHERE"}
    error = failed(fetching)
    assert error.fields["reason"] == "gone"
    assert not list(tmp_path.rglob("*NOWHERE*")) and not list(fetching.repo.glob("refs/*"))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://localhost/x", "gopher:x"])
def test_a_place_that_is_no_web_address(fetching: Fetch, where: str) -> None:
    fetching.hub.lies.location = where
    # huggingface_hub 1.x takes a place without a host for a path of the Hub, and finds nothing
    # there.
    followed = "://l" not in where and (fetching.python != (own(),) or OLD_HUB)
    assert failed(fetching).fields["reason"] in (
        ("lie", "network", "answer", "other") if followed else ("lie",)
    )
    assert not (fetching.repo / "refs" / "main").exists()
    assert not [
        path
        for path in fetching.repo.rglob("*")
        if path.is_file() and b"root:" in path.read_bytes()
    ]


@pytest.mark.parametrize("sha", ["../../../../x", "main", "0" * 39, "G" * 40, ""])
def test_a_commit_that_is_none(one_fetching: Fetch, sha: str) -> None:
    one_fetching.hub.lies.sha = sha or " "
    with pytest.raises(NotDownloadable, match="no valid commit"):
        one_fetching.describe()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("model.safetensors", {"size": 0}),
        ("model.safetensors", {"size": None}),
        ("config.json", {"size": None}),
        ("model.safetensors", {"size": True}),
        ("model.safetensors", {"size": 1e9}),
        ("tokenizer.json", {"size": -1}),
        ("model.safetensors", {"lfs": {"sha256": "../../x", "size": 1}}),
        ("config.json", {"blobId": "/etc/passwd"}),
    ],
)
def test_listings_that_cannot_be_true(
    one_fetching: Fetch, name: str, fields: dict[str, Any]
) -> None:
    one_fetching.hub.lies.listed = {name: fields}
    with pytest.raises(NotDownloadable, match=f"no valid (size|content id) for {name}"):
        one_fetching.describe()
    assert not one_fetching.cache.exists()


@pytest.mark.parametrize(
    "strange", ["config.json", None, 7, [], {}, {"rfilename": None}, {"rfilename": ["x"]}]
)
def test_a_listing_with_an_element_that_is_no_file(one_fetching: Fetch, strange: Any) -> None:
    one_fetching.hub.lies.strange = [strange]
    with pytest.raises(NotDownloadable, match="its list of files is not valid") as caught:
        one_fetching.describe()
    assert caught.value.fields["reason"] == "lie" and not one_fetching.cache.exists()


@pytest.mark.slow
def test_a_list_of_files_without_end(one_fetching: Fetch) -> None:
    one_fetching.hub.lies.siblings = 400_000
    began = time.monotonic()
    with pytest.raises(NotDownloadable, match="more than"):
        one_fetching.describe()
    assert time.monotonic() - began < 30
    one_fetching.hub.lies.siblings = 25_000
    with pytest.raises(NotDownloadable, match="more than 20000 files"):
        one_fetching.describe()


@pytest.mark.slow
def test_a_file_that_outgrows_its_size_is_cut_off_at_once(fetching: Fetch) -> None:
    fetching.hub.lies.endless = 2 << 30
    began = time.monotonic()
    error = failed(fetching)
    assert error.fields["reason"] == "lie" and "more than" in error.message, error
    assert time.monotonic() - began < 60 and fetching.hub.sent < LARGE_BYTES * 6
    kept = sum(path.stat().st_size for path in fetching.cache.rglob("*") if path.is_file())
    assert kept < LARGE_BYTES * 2 and not fetching.unfinished()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_the_reserve_holds_while_somebody_else_fills_the_disk(fetching: Fetch, disk: Path) -> None:
    fetching.hub.faults.rate = 4 << 20
    spare = 8 << 20
    seen: list[int] = []

    def download() -> None:
        remote = fetching.describe()
        with pytest.raises(NotEnoughDisk, match="stay free"):
            fetch.download(
                fetching.python, remote, str(disk / "hub"), lambda *_: None, lambda: False, 2, spare
            )
        seen.append(shutil.disk_usage(disk).free)

    thread = threading.Thread(target=download)
    thread.start()
    while fetching.hub.sent < 1 << 20 and thread.is_alive():
        time.sleep(0.05)
    (disk / "else").write_bytes(bytes(40 << 20))
    thread.join(60)
    # What the other one writes is not ours to prevent: ours ends, and what came of it may be
    # resumed.
    assert seen and seen[0] >= spare - (1 << 20)


@pytest.mark.slow
def test_sizes_that_are_told_are_those_that_come(fetching: Fetch) -> None:
    remote = fetching.describe()
    path = fetching.download()
    there = {
        str(file.relative_to(path)): file.stat().st_size
        for file in path.rglob("*")
        if file.is_file()
    }
    assert there == dict(remote.files) and sum(there.values()) == remote.size_bytes
    assert there[LARGE] == LARGE_BYTES


def test_the_hubs_own_spelling_is_taken_and_a_folder_of_the_cache_keeps_its_own(
    one_fetching: Fetch,
) -> None:
    described = one_fetching.describe(REPO.upper())
    assert described.repo_id == REPO
    (one_fetching.cache / "models--TINY--Large").mkdir(parents=True)
    assert one_fetching.describe("TINY/Large").repo_id == "TINY/Large"
