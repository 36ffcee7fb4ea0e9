"""Downloads on the host, with its own huggingface_hub, from a Hub on loopback that can
misbehave."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login, LoopbackServer
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.padding import padding
from tests.support.studio import Studio, eventually, finished
from tests.support.survivors import living
from tests.support.watching import job, refused

REPO = "tiny/onyx"
WEIGHTS = "padding.safetensors"
# huggingface_hub writes, and so resumes, in pieces of 10 MiB.
BYTES = 24 << 20
CUT_AFTER = 12 << 20
SLOWLY = 4 << 20


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub with one model."""
    write_cache(
        tmp_path / "remote", REPO, {**model_files([" ONYX"], pad_mb=1), WEIGHTS: padding(BYTES)}
    )
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.fixture
def near_hub(tmp_path: Path, hub: FakeHub) -> Iterator[Login]:
    """A login to a host that uses this Hub."""
    for folder in ("keys", "home"):
        (tmp_path / folder).mkdir()
    with LoopbackServer(
        tmp_path / "keys", tmp_path / "home", env={"HF_ENDPOINT": hub.url}
    ) as server:
        yield server.login


@pytest.fixture
def serving(
    near_hub: Login, make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]
) -> Studio:
    """amber serves on the first port."""
    studio = make_studio(near_hub, studio_runtime)
    studio.describe(hub_python=sys.executable)
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    return studio


def events(studio: Studio, name: str) -> list[dict[str, Any]]:
    """The records of this event in the host's job log."""
    texts = [path.read_text() for path in sorted((studio.state_dir / "jobs").glob("*.jsonl"))]
    records = [json.loads(line) for text in texts for line in text.splitlines()]
    return [record for record in records if record["event"] == name]


def untouched(studio: Studio, runtime: FakeRuntime, hub: FakeHub) -> None:
    """amber never got a signal, and only the model's description was fetched."""
    assert runtime.journal("signal") == [] and len(runtime.journal("started")) == 1
    assert studio.assignments() == {"amber": studio.ports[0]}
    assert {request.path.rpartition("/")[2] for request in hub.asked_for("/resolve/")} <= {
        "config.json"
    }
    assert hub.asked_for("/lfs/") == [] and not (studio.hub / "models--tiny--onyx").exists()


def test_a_model_that_is_not_there_is_fetched_and_served(serving: Studio, hub: FakeHub) -> None:
    port = serving.ports[0]
    shown = finished(serving.start("load", REPO, port, "--replace"))
    assert shown.exit == 0, shown
    steps = ("downloading ", "stopping amber", "starting ")
    begun = [shown.stderr.index(f"{port} onyx: {step}") for step in steps]
    assert begun == sorted(begun)
    assert re.search(f"{port} onyx: downloading: 100 % of 25.4 MB, .* MB/s\n", shown.stderr)
    assert serving.assignments() == {"onyx": port} and serving.ask(port) == f"I am {REPO}"
    entry = serving.entry("onyx")
    assert entry["repo_id"] == REPO and Path(entry["cache_path"]).is_relative_to(serving.hub)
    assert (Path(entry["cache_path"]) / WEIGHTS).stat().st_size == BYTES
    totals = {event["total"] for event in events(serving, "progress")}
    assert len(totals) == 1 and totals.pop() > BYTES
    assert not [request for request in hub.seen if "README" in request.path]

    before = len(hub.seen)
    serving.must("unload", port)
    serving.must("load", "onyx", port)
    assert len(hub.seen) == before


@pytest.mark.slow
def test_a_cut_download_goes_on_where_it_was(serving: Studio, hub: FakeHub) -> None:
    hub.faults.cut_after, hub.faults.cuts = CUT_AFTER, 1
    assert serving.must("load", REPO, serving.ports[1])["state"] == "ready"
    assert hub.faults.cuts == 0 and BYTES < hub.sent < BYTES + CUT_AFTER
    assert serving.ask(serving.ports[1]) == f"I am {REPO}"


@pytest.mark.slow
def test_the_occupant_serves_during_the_download(serving: Studio, hub: FakeHub) -> None:
    port = serving.ports[0]
    hub.faults.rate = SLOWLY
    load = serving.start("--json", "load", REPO, port, "--replace")
    job(serving, port, "download")
    assert serving.ask(port, serving.slot(port)) == "I am tiny/amber"
    row = serving.port_row(port)
    assert (row["state"], row["entry"], row["job"]["phase"]) == ("ready", "amber", "download")
    assert serving.must("reconcile")["actions"] == []
    hub.faults.rate = 0
    assert finished(load).exit == 0


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_download_and_nothing_else(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    port = serving.ports[0]
    hub.faults.rate = SLOWLY
    load = serving.start("--json", "load", REPO, port, "--replace")
    eventually(lambda: hub.sent > 1 << 20)
    load.send_signal(signal.SIGINT)
    answer = finished(load)
    assert answer.exit == 130 and "Traceback" not in answer.stdout + answer.stderr
    assert fake_runtime.journal("signal") == [] and serving.assignments() == {"amber": port}
    assert not [
        line for line in living(serving.folder).values() if "hub" in line.rpartition("/")[2]
    ]
    assert "onyx" not in serving.registry()["models"]
    hub.faults.rate = 0
    assert serving.must("load", REPO, port, "--replace")["previous"] == "amber"


@pytest.mark.slow
def test_a_model_assigned_elsewhere_during_its_download_stops_nobody(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    port, other = serving.ports[:2]
    hub.faults.rate = SLOWLY
    load = serving.start("--json", "load", REPO, port, "--replace")
    job(serving, port, "download")
    entry = {"repo_id": REPO, "model_id": REPO, "cache_path": "", "format": "mlx", "port": other}
    serving.edit(lambda registry: registry["models"].update(onyx=entry))
    hub.faults.rate = 0
    assert refused(finished(load), 7, "AssignmentConflict")["port"] == other
    assert fake_runtime.journal("signal") == [] and serving.ask(port) == "I am tiny/amber"


@pytest.mark.slow
def test_a_word_that_is_no_repository_asks_no_hub(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    for word in ("onix", "onyx", "tiny", "tiny/onyx/x", "../tiny"):
        answer = serving.mlxops("load", word, serving.ports[0], "--replace")
        assert answer.exit == 9 and answer.error["kind"] in ("ModelUnknown", "ModelAmbiguous"), (
            answer
        )
    for address in ("https://huggingface.co/tiny", "https://example.com/tiny/onyx"):
        refused(serving.mlxops("load", address, serving.ports[0], "--replace"), 2, "Usage")
    assert hub.seen == []
    untouched(serving, fake_runtime, hub)


@pytest.mark.slow
def test_the_address_of_a_models_page_is_its_repository(serving: Studio, hub: FakeHub) -> None:
    port = serving.ports[1]
    assert serving.must("load", f"https://huggingface.co/{REPO}", port)["state"] == "ready"
    assert serving.entry("onyx")["repo_id"] == REPO and serving.ask(port) == f"I am {REPO}"


@pytest.mark.slow
def test_a_repository_nobody_has(serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime) -> None:
    error = refused(
        serving.mlxops("load", "tiny/onix", serving.ports[0], "--replace"), 9, "ModelUnknown"
    )
    assert "tiny/onix" in error["message"]
    untouched(serving, fake_runtime, hub)


@pytest.mark.slow
def test_a_gated_repository(serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime) -> None:
    hub.gated.add(REPO)
    error = refused(serving.mlxops("load", REPO, serving.ports[0], "--replace"), 9, "ModelGated")
    assert f"https://huggingface.co/{REPO}" in error["hint"]
    untouched(serving, fake_runtime, hub)


@pytest.mark.slow
def test_a_model_too_large_for_the_disk(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    hub.extra_files["model-large.safetensors"] = 10**16
    error = refused(
        serving.mlxops("load", REPO, serving.ports[0], "--replace"), 10, "NotEnoughDisk"
    )
    assert error["needed_bytes"] > 10**16 > error["free_bytes"]
    untouched(serving, fake_runtime, hub)


@pytest.mark.slow
def test_a_dry_run_tells_the_size_and_fetches_nothing(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    actions = serving.must("load", REPO, serving.ports[0], "--dry-run")["actions"]
    assert [action["action"] for action in actions] == ["download", "stop", "start"]
    assert any(str(BYTES)[:2] in action["reason"] for action in actions)
    untouched(serving, fake_runtime, hub)


def test_fit_tells_before_any_download(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    found = serving.must("fit", REPO, serving.ports[1], "--context", 1000)
    assert (found["source"], found["fits"], found["context_tokens"]) == ("hub", True, 1000)
    # 4 heads of 16 bytes, keys and values, in two layers; 1024 rows.
    assert (
        found["kv_bytes"] == 2 * 2 * 2 * 16 * 2 * 1024
        and 0 < found["weights_bytes"] < found["need_bytes"]
    )
    hub.extra_files["model-large.safetensors"] = 10**13
    answer = serving.mlxops("fit", REPO)
    assert refused(answer, 10, "NotEnoughMemory")["weights_bytes"] > 10**13
    assert answer.document["result"]["largest_context_tokens"] == 0
    for repo, kind in (("tiny/onix", "ModelUnknown"), (REPO, "ModelGated")):
        hub.gated.add(REPO)
        refused(serving.mlxops("fit", repo), 9, kind)
    untouched(serving, fake_runtime, hub)


@pytest.mark.slow
def test_a_model_that_could_not_be_built_is_not_fetched(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    files = model_files([" NOVEL"])
    described = json.dumps({**json.loads(files["config.json"]), "model_type": "novelty"}).encode()
    write_cache(tmp_path / "remote", "tiny/novel", {**files, "config.json": described})
    for words in (["fit", "tiny/novel"], ["load", "tiny/novel", serving.ports[1]]):
        error = refused(serving.mlxops(*words), 1, "Failed")
        assert (
            "cannot build a model of type novelty" in error["message"]
            and error["model_type"] == "novelty"
        )
    untouched(serving, fake_runtime, hub)


@pytest.mark.slow
def test_a_hub_that_is_down_while_fit_asks(serving: Studio, hub: FakeHub) -> None:
    hub.__exit__(None, None, None)
    error = refused(serving.mlxops("fit", REPO), 9, "NotDownloadable")
    assert error["reason"] == "network" and error["hint"].endswith("run the same command again")
    (config,) = serving.hub.glob("models--tiny--jade/snapshots/*/config.json")
    config.write_text('{"model_type": ')
    error = refused(serving.mlxops("fit", "jade"), 9, "ModelMissing")
    assert "config.json is not a JSON object" in error["message"]


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_does_not_wait_for_a_hub_that_hangs(
    serving: Studio, hub: FakeHub, fake_runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(hub, "commit", lambda repo, rev: over.wait(60) and None)
    load = serving.start("--json", "load", REPO, serving.ports[0], "--replace")
    eventually(lambda: hub.seen)
    load.send_signal(signal.SIGINT)
    asked = time.monotonic()
    answer = finished(load)
    over.set()
    assert answer.exit == 130 and time.monotonic() - asked < 3
    untouched(serving, fake_runtime, hub)
