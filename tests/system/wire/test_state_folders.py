"""A state folder that is full, read-only, missing or another user's: the agent runs from memory and
says why."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.smalldisk import SmallDisk
from tests.support.studio import Answer, Studio, eventually

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount a disk and give a folder away"
)
NOBODY = 65534
WAITING = ("running", "wait")


class Home:
    """A state folder on its own disk, with a server that was started before."""

    def __init__(self, studio: Studio, disk: SmallDisk) -> None:
        self.studio, self.disk = studio, disk
        self.port = studio.ports[0]
        self.bound = False
        studio.must("load", "amber", self.port)

    def lose_agent(self) -> None:
        shutil.rmtree(self.studio.state_dir / "agent")

    def full(self) -> None:
        self.lose_agent()
        self.disk.fill()

    def no_inodes(self) -> None:
        self.lose_agent()
        self.disk.use_up_inodes()

    def read_only(self) -> None:
        self.lose_agent()
        # The disk itself is busy: the server's log is open.
        self.mount("--bind", self.studio.state_dir, self.studio.state_dir)
        self.mount("-o", "remount,bind,ro", self.studio.state_dir)
        self.bound = True

    def mount(self, *words: object) -> None:
        subprocess.run(["mount", *map(str, words)], check=True)

    def restore(self) -> None:
        if self.bound:
            subprocess.run(["umount", self.studio.state_dir], check=True)
        self.disk.free()
        os.chown(self.studio.state_dir, 0, 0)
        self.studio.state_dir.chmod(0o700)
        self.studio.describe()

    def another_user_s(self) -> None:
        os.chown(self.studio.state_dir, NOBODY, NOBODY)

    def open_to_all(self) -> None:
        self.studio.state_dir.chmod(0o777)

    def a_file(self) -> None:
        self.studio.describe(state_dir=str(self.studio.registry_path / "state"))

    def uncreatable(self) -> None:
        self.studio.describe(state_dir="/proc/mlxops")


@pytest.fixture
def home(known: Studio) -> Iterator[Home]:
    shutil.rmtree(known.state_dir)
    with SmallDisk(known.state_dir, mb=8) as disk:
        made = Home(known, disk)
        yield made
        made.restore()
        known.mlxops("unload-all")


KINDS: dict[str, tuple[Callable[[Home], None], str]] = {
    "full": (Home.full, "No space left on device"),
    "no inodes": (Home.no_inodes, "No space left on device"),
    "read-only": (Home.read_only, "Read-only file system"),
    "another user's": (Home.another_user_s, f"belongs to user id {NOBODY}"),
    "open to all": (Home.open_to_all, "can be written by others"),
    "below a file": (Home.a_file, "is not a folder"),
    "cannot be made": (Home.uncreatable, "No such file or directory"),
}


def true(answer: Answer) -> Answer:
    assert "internal error" not in answer.stderr + str(answer.document), answer
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_reads_and_what_stops_works_without_a_home(home: Home, kind: str) -> None:
    studio, port = home.studio, home.port
    spoil, why = KINDS[kind]
    spoil(home)
    verbs = (
        ["list"],
        ["status"],
        ["show", "amber"],
        ["jobs"],
        ["lock"],
        ["verify", port],
        ["reconcile"],
    )
    for words in verbs if kind in ("full", "another user's") else verbs[:2]:
        answer = true(studio.mlxops(*words))
        assert answer.exit == 0, (words, answer)
        assert why in answer.stderr and "mlxops doctor" in answer.stderr, (words, answer)
    assert true(studio.mlxops("logs", port)).exit == 0
    doctor = true(studio.mlxops("doctor"))
    told = [
        row
        for row in doctor.document["result"]["checks"]
        if row["verdict"] not in ("ok", "unknown")
    ]
    assert any(why in row["seen"] or "others can write" in row["seen"] for row in told), doctor
    assert all(row["mend"] for row in told if row["check"] == "state folder"), told
    assert studio.must("unload", port)["state"] == "free"
    assert studio.assignments() == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_load_that_has_no_home_stops_nothing(home: Home, kind: str) -> None:
    studio, port = home.studio, home.port
    pid = studio.port_row(port)["pid"]
    KINDS[kind][0](home)
    answer = true(studio.mlxops("load", "jade", port, "--replace"))
    assert answer.exit in (1, 10), answer
    assert (
        KINDS[kind][1] in answer.stderr + answer.error["message"]
        or "room" in answer.error["message"]
    ), answer
    row = studio.port_row(port)
    assert (row["pid"], row["state"], row["entry"]) == (pid, "ready", "amber"), row


@pytest.mark.slow
def test_a_job_is_cancelled_from_a_home_that_filled_up(home: Home, fake_runtime: object) -> None:
    studio, other = home.studio, home.studio.ports[1]
    fake_runtime.behaves("models--tiny--jade", load_s=30)  # type: ignore[attr-defined]
    loading = studio.start("load", "jade", other)
    assert eventually(
        lambda: [
            job for job in studio.must("jobs")["jobs"] if (job["state"], job["phase"]) == WAITING
        ]
    )
    home.full()
    assert true(studio.mlxops("cancel", other)).exit == 0
    loading.communicate(timeout=60)
    assert studio.port_row(other)["state"] == "free"


def test_the_agent_comes_back_when_there_is_room(home: Home) -> None:
    home.full()
    assert "sent with every call" in home.studio.mlxops("list").stderr
    home.disk.free()
    assert "sent with every call" not in home.studio.mlxops("list").stderr
    assert [*Path(home.studio.state_dir / "agent").glob("*/agent.*")]
