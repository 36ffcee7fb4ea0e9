"""Only an explicit request downloads; a model whose files are gone or wrong stops nothing."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import ROOT, Studio, finished
from tests.support.watching import refused

GIANT, LOCAL = "lab/Giant-405B-8bit", "local/my-fused"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub with a giant model, another model under an invented name, and a newer revision of
    amber."""
    for repo, said in ((GIANT, "GIANT"), (LOCAL, "STRANGER"), ("tiny/amber", "NEWER")):
        write_cache(tmp_path / "remote", repo, model_files([f" {said}"]))
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.fixture
def here(
    hub: FakeHub,
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    """amber serves on the first port, by this machine's own agent."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    studio = make_studio(None, studio_runtime)
    studio.describe(hub_python=sys.executable)
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    return studio


def kept(studio: Studio, runtime: FakeRuntime, hub: FakeHub) -> None:
    """amber still serves, and nothing was fetched."""
    assert runtime.journal("signal") == [] and studio.assignments() == {"amber": studio.ports[0]}
    assert hub.asked_for("/lfs/") == [] and not [
        r for r in hub.asked_for("/resolve/") if "config.json" not in r.path
    ]


def asked(studio: Studio, *words: object) -> dict[str, Any]:
    return refused(studio.mlxops("load", *words, studio.ports[0], "--replace"), 9, "ModelMissing")


@pytest.mark.slow
def test_a_part_of_a_name_downloads_nothing_the_exact_name_of_a_planned_entry_does(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    here.must("register", "giant", GIANT)
    for part in ("gia", "405b", "iant"):
        answer = here.mlxops("load", part, here.ports[0], "--replace")
        error = refused(answer, 9, "ModelUnknown")
        assert error["hint"] == f"did you mean mlxops load giant {here.ports[0]}"
    assert hub.seen == []
    kept(here, fake_runtime, hub)
    shown = finished(here.start("load", "giant", here.ports[1]))
    assert shown.exit == 0 and "kB to download" in shown.stderr, shown
    assert here.ask(here.ports[1]) == f"I am {GIANT}"


@pytest.mark.slow
def test_the_flag_is_an_explicit_word(here: Studio, hub: FakeHub) -> None:
    here.must("register", "giant", GIANT)
    result = here.must("load", "GIANT", here.ports[1], "--download")
    assert result["download"]["repo_id"] == GIANT and result["download"]["size_bytes"] > 100_000
    assert here.must("load", "giant", here.ports[1])["download"] is None


def test_an_entry_whose_files_are_gone_is_not_downloaded_again(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    path = Path(here.entry("jade")["cache_path"])
    shutil.rmtree(path.parent.parent)
    error = asked(here, "jade")
    assert f"{path.parent.parent} does not exist" in error["message"]
    assert hub.seen == []
    kept(here, fake_runtime, hub)
    (row,) = [m for m in here.must("list")["models"] if m["name"] == "jade"]
    assert row["problem"] == f"{path.parent.parent} does not exist"
    assert "mlxops pull jade" in str(here.mlxops("doctor").document["result"])


@pytest.mark.slow
def test_a_local_model_with_an_invented_name_is_never_a_strangers(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    folder = here.folder / "fused"
    shutil.copytree(here.entry("jade")["cache_path"], folder)
    here.must("register", "mine", LOCAL)
    here.must("set", "mine", f"cache_path={folder}")
    here.must("load", "mine", here.ports[1])
    here.must("unload", here.ports[1])
    folder.rename(here.folder / "renamed")
    assert f"{folder} does not exist" in asked(here, "mine")["message"]
    assert here.entry("mine")["cache_path"] == str(folder) and hub.seen == []
    assert here.assignments() == {"amber": here.ports[0]}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["repository", "blobs", "path"])
def test_a_disk_that_is_away_is_named(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime, tmp_path: Path, what: str
) -> None:
    repo = here.hub / "models--tiny--jade"
    disk = tmp_path / "disk" / "moved"
    disk.parent.mkdir()
    link = repo / "blobs" if what == "blobs" else repo
    shutil.move(link, disk)
    link.symlink_to(disk)
    if what == "path":
        link.unlink()
        here.must("set", "jade", f"cache_path={disk / 'snapshots' / 'x'}")
    shutil.rmtree(disk.parent)
    message = asked(here, "jade")["message"]
    assert f"{disk.parent} does not exist" in message or f"{disk}" in message
    for words in (["--download"], []):
        answer = here.mlxops("load", "tiny/jade", here.ports[0], "--replace", *words)
        assert answer.exit == 9 and hub.asked_for("/lfs/") == []
    if what == "repository":
        assert str(disk) in finished(here.start("init")).stderr
    kept(here, fake_runtime, hub)


@pytest.mark.slow
def test_another_revision_of_main_is_not_fetched_for_one_that_lost_files(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    here.must("load", "jade", here.ports[0], "--replace")
    path = Path(here.entry("amber")["cache_path"])
    (path / "model.safetensors").unlink()
    error = refused(here.mlxops("load", "amber", here.ports[0], "--replace"), 9, "ModelMissing")
    assert "model.safetensors is missing" in error["message"] and str(path) in error["message"]
    assert hub.seen == [] and here.assignments() == {"jade": here.ports[0]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amber", "jade"])
def test_a_revision_that_is_not_here_stops_nothing_and_is_not_recorded(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime, name: str
) -> None:
    before = here.registry()
    for words in (
        (name, "--revision", "other"),
        (name, "--revision", ".."),
        (name, "--revision", "0123456", "--force"),
    ):
        error = asked(here, *words)
        assert f"revision {words[2]} of tiny/{name} is not on this host" in error["message"], error
        assert f"load {name} {here.ports[0]} --revision {words[2]} --download" in error["hint"]
    dry = here.mlxops("load", name, here.ports[0], "--revision", "other", "--replace", "--dry-run")
    assert dry.exit == 9 and hub.seen == []
    unknown = here.mlxops(
        "load", name, here.ports[0], "--revision", "other", "--replace", "--download"
    )
    assert unknown.exit == 9 and unknown.error["kind"] == "ModelUnknown" and hub.seen != []
    kept(here, fake_runtime, hub)
    assert here.registry() == before


@pytest.mark.slow
def test_a_revision_that_is_here_is_what_serves(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    main = Path(here.entry("amber")["cache_path"])
    assert here.must("load", "amber", here.ports[0], "--revision", main.name)["changed"] is False
    assert "revision" not in here.entry("amber")
    other = main.with_name("b" * 40)
    shutil.copytree(main, other, symlinks=True)
    (main.parent.parent / "refs" / "other").write_text(other.name)
    for revision, path in (("other", other), (main.name[:10], main)):
        assert (
            here.must("load", "amber", here.ports[0], "--revision", revision, "--replace")[
                "changed"
            ]
            is True
        )
        entry = here.entry("amber")
        assert (entry["cache_path"], entry["revision"]) == (str(path), revision)
        assert str(path) in entry["process"]["argv"]
    assert hub.seen == []


def test_a_server_downloads_nothing_by_itself(here: Studio) -> None:
    pid = here.entry("amber")["process"]["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"HF_HUB_OFFLINE=1" in environment


ASKED_FOR_LITTLE = """
import sys
import mlxops.cli.verbs.load
mlxops.cli.verbs.load.ASK_ABOVE_BYTES = 100_000
from mlxops.__main__ import main
main()
"""


def at_a_terminal(studio: Studio, answer: str, *words: object) -> tuple[int, str]:
    """The exit code and output of a command at a terminal that asks above 100 kB."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-c", ASKED_FOR_LITTLE, *studio.argv(*words)[3:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=studio.folder
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO: its other end is closed
        while piece := os.read(ours, 65536):
            shown += piece
            if piece.endswith(b"[y/N]: "):
                os.write(ours, answer.encode() + b"\n")
    os.close(ours)
    return process.wait(60), shown.decode()


@pytest.mark.slow
def test_a_large_download_is_asked_for_at_a_terminal(
    here: Studio, hub: FakeHub, fake_runtime: FakeRuntime
) -> None:
    code, shown = at_a_terminal(here, "n", "load", GIANT, here.ports[1])
    assert code == 1 and "kB to download. Download it? [y/N]" in " ".join(shown.split()), shown
    kept(here, fake_runtime, hub)
    code, shown = at_a_terminal(here, "", "load", GIANT, here.ports[1], "--dry-run")
    assert code == 0 and "[y/N]" not in shown and " kB" in shown
    code, shown = at_a_terminal(here, "y", "load", GIANT, here.ports[0])
    assert code == 0 and shown.count("[y/N]") == 2, shown  # the port is busy, too
    assert here.ask(here.ports[0]) == f"I am {GIANT}"


@pytest.mark.slow
def test_yes_answers_before_it_is_asked(here: Studio, hub: FakeHub) -> None:
    code, shown = at_a_terminal(here, "n", "load", GIANT, here.ports[1], "--yes")
    assert code == 0 and "[y/N]" not in shown and "kB to download" in shown
