"""Which other users can read or write the files that mlxops leaves, even with a login's umask of
0."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.demo.loopback import LoopbackServer
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, finished


@pytest.fixture(scope="module")
def used(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, dict[str, bytes]]
) -> Iterator[Studio]:
    """A host on which every kind of file has been written. Its logins and the client have umask
    0."""
    folder = tmp_path_factory.mktemp("modes")
    for name in ("keys", "home", "client"):
        (folder / name).mkdir()
    before = os.umask(0)
    try:
        server = LoopbackServer(folder / "keys", folder / "home")
    finally:
        os.umask(before)
    with server:
        runtime = {
            "name": "mlx-openai-server",
            "command": FakeRuntime(folder / "bin").command,
            "grace_s": 10,
        }
        studio = Studio(
            folder / "studio", server.login, runtime, env={"HOME": str(folder / "client")}
        )
        use(studio, tiny_models)
        yield studio


def use(studio: Studio, models: dict[str, dict[str, bytes]]) -> None:
    """Run every command that writes files, beginning without a state folder and a registry."""
    studio.state_dir.rmdir()
    for repo_id, files in models.items():
        studio.add(repo_id, files)
    port = studio.ports[0]
    for words in (
        ["init"],
        ["load", "amber", port],
        ["load", "jade", port, "--replace"],
        ["reconcile"],
        ["unload", port],
        ["authorize", "--verbs", "status"],
    ):
        answer = finished(studio.start("--json", *words, umask=0))
        assert answer.exit == 0, answer


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_state_folder_is_its_owner_s_alone(used: Studio) -> None:
    folders = [used.state_dir, *(path for path in used.state_dir.iterdir() if path.is_dir())]
    assert {path.name for path in folders} == {
        "state",
        "agent",
        "authorized",
        "help",
        "jobs",
        "logs",
        "run",
    }
    assert {path.name: oct(mode(path)) for path in folders if mode(path) != 0o700} == {}
    assert [
        path
        for path in used.state_dir.rglob("*")
        if mode(path) & 0o022 and path.name != "__pycache__"
    ] == []


def test_what_lies_beside_the_registry_is_written_by_its_owner_only(used: Studio) -> None:
    written = {path.name: oct(mode(path)) for path in used.hub.glob("registry*")}
    port = used.ports[0]
    told = ("registry.json", "registry.json.bak", "registry.json.bak.1", "registry.history.jsonl")
    locks = ("registry.json.lock", f"registry.json.{port}.lock")
    assert written == {**dict.fromkeys(told, "0o644"), **dict.fromkeys(locks, "0o600")}


def test_a_private_registry_stays_private(used: Studio) -> None:
    used.registry_path.chmod(0o600)
    used.hub.joinpath("registry.history.jsonl").unlink()
    used.must("set", "amber", "runtime=mlx_lm.server")
    used.must("set", "amber", "runtime=")
    names = ("registry.json", "registry.json.bak", "registry.history.jsonl")
    assert {name: oct(mode(used.hub / name)) for name in names} == dict.fromkeys(names, "0o600")


def test_the_client_s_own_files_are_its_owner_s_alone(used: Studio) -> None:
    home = Path(used.env["HOME"])
    left = {str(path.relative_to(home)): mode(path) for path in home.rglob("*")}
    files = {name: bits for name, bits in left.items() if (home / name).is_file()}
    assert set(files.values()) == {0o600}
    assert left[".local/state/mlxops"] == 0o700
    # A lock of the host, and the names that completion offers.
    assert sorted(Path(name).suffix for name in files) == [".json", ".lock"]
