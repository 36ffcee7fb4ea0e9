"""Bad words, files, disks and hosts: the right exit code, a hint, and nothing changed."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login, LoopbackServer
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.studio import Studio, finished
from tests.support.watching import refused

CORRUPT = '{"version": 1,\n "models": {"amber": {"port": 8100]}}\n'
LANES = '{"version": 2, "lanes": {"8100": {"model": "amber"}}, "models": {}}\n'
UNREADABLE = {
    "empty": ("", "empty"),
    "corrupt": (CORRUPT, "line 2"),
    "of version 2": (LANES, "version 2"),
    "not an object": ("[1, 2]\n", "object"),
    "without models": ('{"version": 1, "models": {"amber": 7}}\n', "amber"),
    "not UTF-8": ("\udcff", "UTF-8"),
}
VERBS = (
    "list",
    "status",
    "init",
    "reconcile",
    "unload-all",
    "load amber {port}",
    "unload {port}",
    "set amber slot=",
    "remove amber",
    "register new tiny/new",
    "show amber",
)
WORDS = {
    "load amber 1": (2, "Usage"),
    "load amber eighty": (2, "Usage"),
    "load amber 99999999999999999999": (2, "Usage"),
    "unload 1": (2, "Usage"),
    "status 1": (2, "Usage"),
    "logs 1": (2, "Usage"),
    "load amber {port} --timeout x": (2, "Usage"),
    "load amber {port} --timeout -1": (2, "Usage"),
    "register new new": (2, "Usage"),
    "register new tiny/new --slot 1": (2, "Usage"),
    "register 8100 tiny/new": (2, "Usage"),
    "register new tiny/amber --runtime mlx_lm.server": (7, "AssignmentConflict"),
    "set amber port=8100": (2, "Usage"),
    "set amber": (2, "Usage"),
    "load ambre {port}": (9, "ModelUnknown"),
    "load ../../etc/passwd {port}": (9, "ModelUnknown"),
    "load a {port}": (9, "ModelAmbiguous"),
    "show nonesuch": (9, "ModelUnknown"),
    "set nonesuch slot=": (9, "ModelUnknown"),
    "remove nonesuch": (9, "ModelUnknown"),
}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file with content, without the locks, whose text only informs."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")
    )
    return {str(path): path.read_bytes() for path in files}


@contextmanager
def unchanged(studio: Studio, runtime: FakeRuntime) -> Iterator[None]:
    before = contents(studio.hub)
    yield
    assert contents(studio.hub) == before
    assert runtime.journal("started") == []


def test_words(known: Studio, fake_runtime: FakeRuntime) -> None:
    with unchanged(known, fake_runtime):
        for line, (code, kind) in WORDS.items():
            refused(known.mlxops(*line.format(port=known.ports[0]).split()), code, kind)


def test_an_unknown_word_is_told_what_comes_near(known: Studio) -> None:
    unknown = refused(known.mlxops("load", "ambre", known.ports[0]), 9, "ModelUnknown")
    assert "amber" in unknown["hint"] and "amber" in unknown["near"]
    ambiguous = refused(known.mlxops("load", "a", known.ports[0]), 9, "ModelAmbiguous")
    assert ambiguous["matches"] == ["amber", "jade", "topaz"] and "jade" in ambiguous["message"]


def test_args_with_a_quote_that_has_no_end(known: Studio) -> None:
    answer = known.mlxops("set", "amber", "args=--context-length 'a")
    assert answer.exit == 2 and answer.error["kind"] == "Usage", answer
    assert "args" not in known.entry("amber")


@pytest.mark.slow
@pytest.mark.parametrize("state", UNREADABLE)
def test_a_registry_that_cannot_be_read_is_left_alone(
    known: Studio, fake_runtime: FakeRuntime, state: str
) -> None:
    text, told = UNREADABLE[state]
    known.must("set", "amber", "model_id=again")  # so that there is a last good copy
    known.registry_path.write_text(text, errors="surrogateescape")
    with unchanged(known, fake_runtime):
        for line in VERBS if state == "corrupt" else ("list", "init"):
            error = refused(
                known.mlxops(*line.format(port=known.ports[0]).split()), 5, "RegistryInvalid"
            )
            assert told in error["message"] and str(known.registry_path) in json.dumps(error), (
                line,
                error,
            )
    if state == "corrupt":
        assert error["backup"] == f"{known.registry_path}.bak" and error["backup"] in error["hint"]


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder and its files, made immutable, even for root."""
    if os.getuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    files = contents(folder)
    with mounted(folder, "size=1m"):
        for path, content in files.items():
            Path(path).write_bytes(content)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield


def test_a_folder_that_cannot_be_written(known: Studio, fake_runtime: FakeRuntime) -> None:
    place = known.folder / "shelf"
    place.mkdir()
    registry = place / "registry.json"
    registry.write_bytes(known.registry_path.read_bytes())
    known.describe(registry=str(registry))
    with read_only(place), unchanged(known, fake_runtime):
        for words in (
            ["set", "amber", "model_id=new"],
            ["init"],
            ["load", "amber", known.ports[0]],
        ):
            assert str(registry) in refused(known.mlxops(*words), 1, "Failed")["message"]
        assert len(known.must("list")["models"]) == 3 and len(known.must("status")["ports"]) == 3
        assert list(place.iterdir()) == [registry]


def full() -> None:
    """From now on no file can grow, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def test_a_file_that_may_not_grow(known: Studio, fake_runtime: FakeRuntime) -> None:
    known.must("--local", "list")
    with unchanged(known, fake_runtime):
        answer = finished(
            known.start("--json", "--local", "set", "amber", "model_id=new", preexec_fn=full)
        )
        error = refused(answer, 10, "NotEnoughDisk")
    assert "ulimit -f" in error["hint"] and "unchanged" in error["message"]
    assert not list(known.hub.glob("*.tmp"))


def full_disk(known: Studio, fake_runtime: FakeRuntime, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    with mounted(tmp_path / "small", "size=1m"):
        registry = tmp_path / "small" / "registry.json"
        registry.write_bytes(known.registry_path.read_bytes())
        known.describe(registry=str(registry))
        known.must("set", "amber", "model_id=first")
        before = registry.read_bytes()
        fill(registry.with_name("filler"))
        for words in (["set", "amber", "model_id=second"], ["load", "amber", known.ports[0]]):
            error = refused(known.mlxops(*words), 10, "NotEnoughDisk")
            assert str(registry.parent) in error["message"] and "free some space" in error["hint"]
            assert registry.read_bytes() == before and fake_runtime.journal("child") == []
        registry.with_name("filler").unlink()
        assert known.must("load", "amber", known.ports[0])["state"] == "ready"
        known.must("unload-all")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                continue
        except OSError:
            return


# Mounting a small disk takes root.
if os.getuid() == 0:
    test_a_full_disk = full_disk


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[Login]:
    """A login to a host that cannot reach the Hub."""
    for folder in ("keys", "home"):
        (tmp_path / folder).mkdir()
    nowhere = f"http://127.0.0.1:{free_range(1)[0]}"
    with LoopbackServer(
        tmp_path / "keys", tmp_path / "home", env={"HF_ENDPOINT": nowhere}
    ) as server:
        yield server.login


@pytest.fixture
def offline(
    cut_off: Login, make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]
) -> Studio:
    return make_studio(cut_off, studio_runtime)


@pytest.mark.slow
def test_no_network_for_a_download(offline: Studio, fake_runtime: FakeRuntime) -> None:
    offline.must("init")
    with unchanged(offline, fake_runtime):
        error = refused(
            offline.mlxops("load", "tiny/absent", offline.ports[0]), 9, "NotDownloadable"
        )
    assert "network" in error["hint"]
    assert offline.must("load", "tiny/amber", offline.ports[0])["state"] == "ready"


@pytest.fixture
def elsewhere(studio: Studio) -> Callable[..., Any]:
    """The error of `list` with this change of the login."""

    def ask(**changes: Any) -> dict[str, Any]:
        assert studio.login is not None
        studio.login = Login(**{**vars(studio.login), **changes})
        studio.describe()
        return refused(studio.mlxops("list"), 3, "HostUnreachable")

    return ask


def test_a_port_where_nobody_listens(elsewhere: Callable[..., Any]) -> None:
    port = free_range(1)[0]
    assert str(port) in elsewhere(port=port)["message"]


def test_a_host_that_has_no_address(elsewhere: Callable[..., Any]) -> None:
    assert "nonesuch.invalid" in elsewhere(host="nonesuch.invalid")["message"]


def test_a_host_that_is_down(elsewhere: Callable[..., Any]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
    assert elsewhere(port=port)["cause"] == "refused"
