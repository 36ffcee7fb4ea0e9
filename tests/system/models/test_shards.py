"""Whether a model is whole: the shards decide, before a download and after it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.layouts import INDEX, as_kimi, changed, saying, sharded, shards, without
from tests.support.padding import padding
from tests.support.studio import Studio
from tests.support.watching import refused

GAP = without(sharded(saying("GAP"), 3), shards(3)[1])
MTP_INDEX = {"weight_map": {"a": shards(2)[0], "b": shards(2)[1], "mtp.fc": "mtp.safetensors"}}
# Names of the cases -> the files of a repository that mlx-lm loads.
WHOLE = {
    "another build's index": sharded(saying("STALE"), 2, indexed=13),
    "another build's single file": sharded(saying("STALE"), 2, indexed=1),
    "no index": sharded(saying("NONE"), 3, indexed=0),
    "a head that is read by nobody": {
        **sharded(saying("MTP")),
        INDEX: json.dumps(MTP_INDEX).encode(),
    },
    "shards that count from 0": {
        **without(sharded(saying("ZERO"), 2, indexed=0), *shards(2)),
        "model-00000-of-00002.safetensors": sharded(saying("ZERO"))[shards(2)[0]],
        "model-00001-of-00002.safetensors": sharded(saying("ZERO"))[shards(2)[1]],
    },
    "a sidecar under another name": {
        **saying("VISION"),
        "optiq_vision.safetensors": padding(4096),
        "consolidated.safetensors": padding(4096),
    },
    "Kimi's vocabulary": as_kimi(saying("KIMI")),
    "PLaMo's vocabulary": as_kimi(saying("PLAMO"), "tokenizer.jsonl"),
    "a vocabulary of the repository's own": as_kimi(saying("OWN"), "pieces.voc"),
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.fixture
def here(
    hub: FakeHub,
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    """By this machine's own agent, with that Hub; nothing is loaded."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    studio = make_studio(None, studio_runtime)
    studio.describe(hub_python=sys.executable)
    return studio


def row(studio: Studio, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = studio.must("list")["models"]
    return next(row for row in rows if row["name"] == name)


@pytest.mark.slow
def test_what_mlx_lm_loads_is_whole_for_init_list_and_doctor(here: Studio) -> None:
    for number, files in enumerate(WHOLE.values()):
        here.add(f"org/model-{number}", files)
    answer = here.mlxops("init")
    added = {action["entry"] for action in answer.result["actions"]}
    names = [f"model-{number}" for number in range(len(WHOLE))]
    missing = {case for case, name in zip(WHOLE, names, strict=True) if name not in added}
    assert not missing, answer
    assert {row(here, name)["problem"] for name in names} == {None}
    assert here.must("fit", "model-2")["weights_bytes"] > 200_000
    (checked,) = [
        check
        for check in here.mlxops("doctor").document["result"]["checks"]
        if check["check"] == "snapshots"
    ]
    assert checked["verdict"] == "ok", checked


@pytest.mark.slow
@pytest.mark.parametrize("case", ["another build's index", "no index", "Kimi's vocabulary"])
def test_what_mlx_lm_loads_is_downloaded_and_started(here: Studio, hub: FakeHub, case: str) -> None:
    write_cache(hub.root, "org/model", WHOLE[case])
    # Kimi's tokenizer is code of the repository, which is told first.
    words = ["--force"] if case == "Kimi's vocabulary" else []
    result = here.must("load", "org/model", here.ports[0], *words)
    assert result["download"]["repo_id"] == "org/model"
    assert {Path(path).name for path in hub_files(here)} >= set(WHOLE[case]) - {"README.md"}


def hub_files(studio: Studio) -> Iterator[Path]:
    yield from studio.hub.glob("models--org--model/snapshots/*/*")


def test_a_gap_is_noticed_before_the_download(here: Studio, hub: FakeHub) -> None:
    write_cache(hub.root, "org/gap", GAP)
    load = ("load", "org/gap", here.ports[0])
    for words in (load, ("fit", "org/gap"), ("pull", "org/gap")):
        error = refused(here.mlxops(*words), 9, "NotDownloadable")
        assert f"has no {shards(3)[1]} on the Hub" in error["message"], error
    assert not [r for r in hub.asked_for("/resolve/") if "config.json" not in r.path]
    assert not hub.asked_for("/lfs/")


@pytest.mark.slow
def test_a_gap_on_disk_is_named(here: Studio, fake_runtime: FakeRuntime) -> None:
    path = here.add("org/gap", GAP)
    answer = here.mlxops("init")
    assert "gap" not in {a["entry"] for a in answer.result["actions"]}
    assert shards(3)[1] in answer.stderr
    here.must("register", "gap", "org/gap")
    here.edit(lambda registry: registry["models"]["gap"].update(cache_path=str(path)))
    for words in ((), ("--force",)):
        error = refused(here.mlxops("load", "gap", here.ports[0], *words), 9, "ModelMissing")
        assert f"{shards(3)[1]} is missing" in error["message"], error
    assert row(here, "gap")["problem"] == f"{shards(3)[1]} is missing"
    assert fake_runtime.journal("started") == []


@pytest.mark.slow
def test_an_index_that_names_a_shard_more_is_believed(here: Studio) -> None:
    """The loader would read it, and some of the named files are there: an interrupted download."""
    files = changed(
        saying("MORE"), INDEX, weight_map={"a": "model.safetensors", "b": "model-x.safetensors"}
    )
    here.add("org/cut", files)
    told = here.mlxops("init").stderr.splitlines()
    assert any("org/cut" in line and "model-x.safetensors" in line for line in told), told
