"""Owner, group and mode of the registry and the files beside it: for one account, root, and a
group. Runs on Python 3.9 too."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxops.agent.errors import Failed, MlxopsError, RegistryInvalid
from mlxops.agent.jobs.job import lock_path
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.registry.store import Store
from tests.support.procs_actors import NOBODY, as_nobody
from tests.support.writers import WHO, adding

TEAM, ALICE, BOB = 54001, 54002, 54003
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can put on another user's eyes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.json"


@pytest.fixture
def store(path: Path) -> Store:
    return Store(str(path), WHO)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_the_mode_stays_for_the_file_and_its_backup(path: Path, store: Store, mode: int):
    store.edit("add", adding("amber"))
    os.chmod(str(path), mode)
    store.edit("add", adding("jade"))
    store.edit("add", adding("topaz"))
    assert [stat.S_IMODE(os.stat(str(path) + end).st_mode) for end in ("", ".bak")] == [mode, mode]


@as_root
def test_the_owner_stays_and_what_root_makes_belongs_to_the_owner_of_the_folder(
    path: Path, store: Store
):
    os.chown(str(path.parent), NOBODY, NOBODY)
    for name in ("amber", "jade", "topaz"):
        store.edit("add", adding(name))
    owners = {name: os.stat(str(path.parent / name)).st_uid for name in os.listdir(path.parent)}
    assert set(owners.values()) == {NOBODY}, owners


@as_root
@pytest.mark.parametrize("name", [".lock", ".tmp", ".bak"])
@pytest.mark.parametrize("hard", [True, False])
def test_a_link_planted_by_a_user_does_not_lead_root_out_of_the_folder(
    path: Path, store: Store, tmp_path_factory: pytest.TempPathFactory, name: str, hard: bool
):
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("root's own")
    os.chown(str(path.parent), NOBODY, NOBODY)
    (os.link if hard else os.symlink)(str(outside), str(path) + name)
    for entry in ("amber", "jade"):
        with contextlib.suppress(Failed, RegistryInvalid):
            store.edit("add", adding(entry))
    assert outside.stat().st_uid == 0
    assert outside.read_text() == "root's own" or (hard, name) == (True, ".lock")


@as_root
def test_a_folder_that_is_not_ours_to_write_is_a_failure_that_changes_nothing(
    path: Path, store: Store
):
    store.edit("add", adding("amber"))
    for folder in (path.parent, *list(path.parents)[1:3]):
        os.chmod(str(folder), 0o755)
    os.chmod(str(path) + ".lock", 0o666)
    content = path.read_bytes()
    # Read once here: nobody may not be able to import what reading needs.
    store.read()

    def edit() -> str:
        try:
            return repr(store.edit("add", adding("jade")))
        except Failed as exc:
            return exc.message

    assert as_nobody(edit) == f"cannot write {path}: Permission denied; it is unchanged"
    assert path.read_bytes() == content


def as_member(uid: int, work: Callable[[], object], group: int = TEAM) -> str:
    """Do the work as another account of the group, with a umask that lets no other account
    write."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([group])
        os.setgid(uid)
        os.setuid(uid)
        os.umask(0o077)
        try:
            said = str(work())
        except MlxopsError as exc:
            said = exc.message
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as f:
        said = f.read().decode()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def team(path: Path) -> Path:
    """The folder of a registry that a group shares."""
    for folder in list(path.parents)[:3]:
        os.chmod(folder, stat.S_IMODE(folder.stat().st_mode) | 0o011)
    folder = path.parent / "hub"
    folder.mkdir()
    os.chown(folder, ALICE, TEAM)
    os.chmod(folder, 0o2775)
    return folder


def added(folder: Path, name: str) -> list[str]:
    return sorted(Store(str(folder / "registry.json"), WHO).edit("add", adding(name)).entries)


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        each.name: (each.stat().st_gid, stat.S_IMODE(each.stat().st_mode))
        for each in folder.iterdir()
    }


@as_root
def test_accounts_of_one_group_write_one_registry_whatever_their_umask_is(team: Path):
    registry = team / "registry.json"
    added(team, "warm")  # as root, once: the others may not be able to import what this needs
    registry.unlink()
    for left in team.iterdir():
        left.unlink()
    assert as_member(ALICE, lambda: added(team, "amber")) == "['amber']"
    assert as_member(BOB, lambda: added(team, "jade")) == "['amber', 'jade']"
    assert as_member(ALICE, lambda: added(team, "topaz")) == "['amber', 'jade', 'topaz']"
    written = (
        "registry.json",
        "registry.json.bak",
        "registry.json.bak.1",
        "registry.history.jsonl",
    )
    assert seen(team) == {
        **dict.fromkeys(written, (TEAM, 0o664)),
        "registry.json.lock": (TEAM, 0o660),
    }
    assert len((team / "registry.history.jsonl").read_text().splitlines()) == 3


@as_root
def test_a_lock_of_one_is_a_lock_for_all_of_the_group(team: Path):
    added(team, "amber")
    path = lock_path(str(team / "registry.json"), 8100)
    registry = str(team / "registry.json")
    assert (
        as_member(ALICE, lambda: FileLock(path, registry=registry).acquire({"who": "alice"}, 0))
        == "None"
    )
    assert (
        as_member(BOB, lambda: FileLock(path, registry=registry).acquire({"who": "bob"}, 0))
        == "None"
    )
    assert '"bob"' in Path(path).read_text()


@as_root
def test_a_stranger_cannot_open_a_lock_and_old_ones_are_closed_to_them(path: Path, store: Store):
    for folder in list(path.parents)[:3]:
        os.chmod(folder, stat.S_IMODE(folder.stat().st_mode) | 0o011)
    lock = Path(f"{path}.lock")
    lock.write_text("{}")
    lock.chmod(0o644)
    store.edit("add", adding("amber"))
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600

    def open_it() -> str:
        try:
            return str(os.open(lock, os.O_RDONLY))
        except PermissionError:
            return "refused"

    assert as_nobody(open_it) == "refused"


@as_root
def test_one_who_may_write_the_folder_and_not_the_registry_changes_nothing(team: Path):
    """A rename would bypass the file's own mode."""
    added(team, "amber")
    registry = team / "registry.json"
    os.chown(registry, ALICE, TEAM)
    registry.chmod(0o644)
    (team / "registry.json.lock").chmod(0o666)
    before = registry.read_bytes()
    assert "Permission denied" in as_member(BOB, lambda: added(team, "jade"))
    assert registry.read_bytes() == before
