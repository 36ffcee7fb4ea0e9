"""A disk without room: nothing is stopped for a load that could not end, and what was stopped comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.smalldisk import SmallDisk
from tests.support.studio import Studio

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
PLACES = {"registry": ("hf",), "state": ("state",), "both": ("hf", "state")}


@pytest.fixture(params=PLACES)
def disks(request: Any, tmp_path: Path) -> Iterator[list[SmallDisk]]:
    """Below the registry, below the state folder, or below each of them."""
    with ExitStack() as stack:
        yield [stack.enter_context(SmallDisk(tmp_path / "studio0" / name)) for name in PLACES[request.param]]


@pytest.fixture
def serving(disks: Sequence[SmallDisk], make_studio: Callable[..., Studio], studio_runtime: Any) -> Iterator[Studio]:
    """amber serves on the first port of a local host."""
    studio = make_studio(None, studio_runtime)
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    yield studio
    for disk in disks:
        disk.read_only(False)
        disk.free()
    studio.mlxops("unload-all", "--grace", 5)


def answers(studio: Studio, name: str = "amber") -> bool:
    port = studio.ports[0]
    return studio.ask(port, studio.slot(port)) == f"I am tiny/{name}"


def left(studio: Studio) -> list[Path]:
    return [path for path in studio.folder.rglob("*") if ".room-" in path.name]


FAULTS: dict[str, Callable[[SmallDisk], None]] = {
    "no bytes": lambda disk: disk.fill(),
    "few bytes": lambda disk: disk.fill(leave=24 << 10),
    "no inodes": lambda disk: disk.use_up_inodes(),
}


@pytest.mark.parametrize("how", FAULTS)
def test_no_room_is_told_before_anything_is_stopped(
    how: str, serving: Studio, disks: Sequence[SmallDisk], fake_runtime: FakeRuntime
) -> None:
    port, before = serving.ports[0], serving.entry("amber")
    for disk in disks:
        FAULTS[how](disk)
    for words in (("--dry-run",), ()):
        answer = serving.mlxops("load", "jade", port, "--replace", *words)
        assert answer.exit == 10, answer
        assert answer.error["kind"] == "NotEnoughDisk" and "No space left on device" in answer.error["message"]
        assert any(str(disk.place) in answer.error["message"] for disk in disks)
        assert "df -i" in answer.error["hint"]
    assert fake_runtime.journal("signal") == [] and serving.entry("amber") == before
    assert answers(serving) and left(serving) == []
    for disk in disks:
        disk.free()
    serving.must("load", "jade", port, "--replace")
    assert answers(serving, "jade") and left(serving) == []
