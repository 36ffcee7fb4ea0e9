"""Every verb says the same of a model in each state that a cache may have it in, and asks no Hub
before it is told to."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlxops.agent import main as agent
from mlxops.agent.context import Context
from mlxops.agent.errors import MlxopsError
from mlxops.agent.registry.store import Store
from mlxops.agent.site import Site
from tests.support import modelstates as states
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.healthy import WHO, Healthy

# What every verb must say of a broken model.
WHY = {
    "gap": "model-00002-of-00002.safetensors",
    "cut": "truncated: ",
    "lfs": "a Git LFS pointer",
    "annex": "a git-annex pointer",
    "html": "an HTML or XML page",
    "broken-link": "a broken link",
    "no-tokenizer": "tokenizer.json",
    "npz": "its weights are .npz files",
    "consolidated": "not consolidated.safetensors",
    "bin": "its weights are PyTorch .bin files",
    "gguf": "its weights are GGUF files",
    **dict.fromkeys(states.GONE, "Away"),
}
# Seen in the content of files, which `list` does not read.
DEEP = ("cut", "html")


class Heard(NamedTuple):
    """`text`: all that a verb answered, warnings included."""

    exit: int
    result: Any
    text: str
    warnings: tuple[str, ...]


class Place(NamedTuple):
    host: Healthy
    hub: FakeHub
    paths: Mapping[str, Path]

    def call(self, verb: str, **args: Any) -> Heard:
        self.host.client.events.clear()
        site, client = Site.from_wire(self.host.site), self.host.client
        ctx = Context(site, Store(site.registry, WHO), self.host.procs, client, WHO)  # type: ignore[arg-type]
        module, _, function = agent.VERBS[verb].partition(".")
        code, result, words = 0, None, []
        try:
            result = getattr(importlib.import_module(f"mlxops.agent.ops.{module}"), function)(
                ctx, args
            )
        except MlxopsError as exc:
            code, words = exc.exit_code, [exc.message, exc.hint]
        warned = tuple(e["message"] for e in client.events if e["event"] == "warning")
        return Heard(code, result, "\n".join([json.dumps(result), *words, *warned]), warned)

    def load(self, model: str, **args: Any) -> Heard:
        return self.call("load", model=model, port=self.host.port, dry_run=True, **args)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A host with a model in each state, each with an entry, and a Hub that must not be asked."""
    folder = tmp_path_factory.mktemp("states")
    host = Healthy(folder / "host", FakeRuntime(folder / "bin"))
    made = {**states.WHOLE, **states.OTHER_REVISION, **states.BROKEN, **states.GONE}
    paths = {name: make(host.hub, f"lab/{name}") for name, make in made.items()}
    for name in states.OTHER_REVISION:
        host.enter(f"planned-{name}", repo_id=f"lab/{name}", slot=host.port)
    for name, path in paths.items():
        if name not in states.OTHER_REVISION:
            host.enter(name, repo_id=f"lab/{name}", cache_path=str(path))
    (folder / "remote").mkdir()
    before = os.environ.get("HF_ENDPOINT")
    with FakeHub(folder / "remote") as hub:
        os.environ["HF_ENDPOINT"] = hub.url
        yield Place(host, hub, paths)
    os.environ.pop("HF_ENDPOINT")
    os.environ.update({"HF_ENDPOINT": before} if before else {})


@pytest.fixture(autouse=True)
def nothing_asked(place: Place) -> Iterator[None]:
    place.hub.seen.clear()
    yield
    assert place.hub.seen == []


@pytest.mark.parametrize("state", states.WHOLE)
def test_a_whole_model_is_whole_for_every_verb(place: Place, state: str) -> None:
    (row,) = [row for row in place.call("list").result["models"] if row["name"] == state]
    assert (row["files"], row["problem"]) == ("ok", None)
    assert place.call("show", what=state).result["entry"]["files"] == "ok"
    (row,) = [row for row in place.call("verify").result["entries"] if row["entry"] == state]
    assert row["ok"], row
    for model in (state, f"lab/{state}"):
        heard = place.load(model)
        assert heard.exit == 0 and heard.result["download"] is None, heard
    told = "index.json does not match" in heard.text
    assert told == (state == "stale-index")
    assert place.call("fit", model=state).result["source"] == "disk"
    path = str(place.paths[state])
    assert place.call("set", name=state, changes={"cache_path": path}).result["warnings"] == []


@pytest.mark.parametrize("state", [*states.BROKEN, *states.GONE])
def test_what_is_broken_or_gone_is_told_by_every_verb(place: Place, state: str) -> None:
    if state == "mtp":
        assert "model-mtp.safetensors" in place.load(state).text
        assert "model-mtp.safetensors" in place.call("fit", model=state).text
        return
    word = "gone" if state in states.GONE else "incomplete"
    (row,) = [row for row in place.call("list").result["models"] if row["name"] == state]
    # The content of files is not read by `list`, which knows what others have read.
    if state not in DEEP:
        assert row["files"] == word and WHY[state] in row["problem"], row
    row = place.call("show", what=state).result["entry"]
    assert row["files"] in (word, "damaged") and WHY[state] in row["problem"], row
    (row,) = [row for row in place.call("verify").result["entries"] if row["entry"] == state]
    assert not row["ok"] and WHY[state] in str(row["reasons"]), row
    for heard in (place.load(state), place.call("fit", model=state)):
        assert heard.exit == 9 and WHY[state] in heard.text, heard
        assert ("mount its disk" in heard.text) == (state in states.GONE)
    (row,) = [row for row in place.call("list").result["models"] if row["name"] == state]
    assert row["files"] == word and WHY[state] in row["problem"], row
    change = {"cache_path": str(place.paths[state])}
    assert WHY[state] in str(place.call("set", name=state, changes=change).result["warnings"])
    if state != "gguf":
        assert WHY[state] in "".join(
            text for text in place.call("init", dry_run=True).warnings if f"lab/{state}:" in text
        )


@pytest.mark.parametrize("state", states.GONE)
def test_a_folder_that_is_away_is_not_downloaded_by_its_full_name(place: Place, state: str) -> None:
    for model in (f"lab/{state}", f"LAB/{state}"):
        heard = place.load(model)
        assert heard.exit == 9 and "Away" in heard.text and "--download" in heard.text, heard
    assert place.load(state, download=True, by_plan=True).exit == 9
    heard = place.call("pull", model=f"lab/{state}", dry_run=True)
    assert heard.exit == 9 and "Away" in heard.text


def test_a_folder_outside_of_the_cache_is_never_replaced_by_a_download(place: Place) -> None:
    place.host.enter("mine", repo_id="local/mine", cache_path=f"{states.AWAY}/mine")
    for heard in (
        place.load("mine"),
        place.load("local/mine"),
        place.call("fit", model="mine"),
        place.call("pull", model="mine"),
    ):
        assert heard.exit == 9 and "/Volumes does not exist" in heard.text, heard
    rows = [row for row in place.call("doctor").result["checks"] if row["check"] == "snapshots"]
    assert "mlxops pull mine" not in str(rows)


def test_a_snapshot_of_its_repository_does_not_take_the_place_of_a_folder_that_is_away(
    place: Place,
) -> None:
    place.host.enter("tuned", repo_id="lab/whole", cache_path=f"{states.AWAY}/tuned")
    for heard in (place.load("tuned"), place.call("fit", model="tuned")):
        assert heard.exit == 9 and "/Volumes does not exist" in heard.text, heard
    steps = place.call("init", dry_run=True).result["actions"]
    (step,) = [step for step in steps if step["entry"] == "tuned"]
    assert not step["applied"] and "it keeps its own folder" in step["reason"]
    assert "/Volumes does not exist" in step["reason"]


def test_doctor_names_them_all(place: Place) -> None:
    rows = [row for row in place.call("doctor").result["checks"] if row["check"] == "snapshots"]
    text = str(rows)
    assert "mount its disk" in text and "Away" in text and "truncated" in text
    for state in states.OTHER_REVISION:
        assert f"mlxops load lab/{state} PORT --revision" in text


@pytest.mark.parametrize("state", states.OTHER_REVISION)
def test_a_complete_revision_that_is_not_main_is_told_with_its_command(
    place: Place, state: str
) -> None:
    short = place.paths[state].name[:8]
    port = place.host.port
    command = f"mlxops load planned-{state} {port} --revision {short}"
    (row,) = [r for r in place.call("list").result["models"] if r["name"] == f"planned-{state}"]
    assert row["files"] is None and command in row["problem"]
    assert command in place.call("show", what=f"planned-{state}").result["entry"]["problem"]
    heard = place.call("register", name="x", repo=f"lab/{state}", again=True, dry_run=True)
    assert f"mlxops load x PORT --revision {short}" in str(heard.result["warnings"])
    told = [w for w in place.call("init", dry_run=True).warnings if f"lab/{state}:" in w]
    assert f"mlxops load lab/{state} PORT --revision {short}" in str(told) and len(told) == 1
    for revision in (short, short.upper(), place.paths[state].name):
        heard = place.load(f"lab/{state}", revision=revision)
        assert heard.exit == 0 and str(place.paths[state]) in heard.text, heard


def test_disk_knows_which_revisions_are_of_use(place: Place) -> None:
    items = place.call("disk").result["items"]
    kept = {(i["repo_id"], i["revision"]) for i in items if i["state"] == "registered"}
    for state in states.OTHER_REVISION:
        assert (f"lab/{state}", place.paths[state].name) in kept
    away = [i for i in items if i["repo_id"] == "lab/snapshots-away"]
    assert [i for i in away if i["removable"]] == []
