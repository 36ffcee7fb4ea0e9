"""Weights are read ahead if the port serves meanwhile and memory has room. Runs on Python 3.9
too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.procs import Memory, Unobservable, local_procs
from mlxops.agent.servers import prefetch as headstart
from mlxops.agent.servers.prefetch import prefetch_weights
from tests.support.launching import Launcher, context

SIZE = 5 << 20
ROOM = Memory(64 << 30, headstart.SPARE_BYTES + SIZE, None)


class Eyes:
    """This machine's processes, with the given memory."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        return getattr(local_procs(), name)

    def memory(self) -> Memory:
        if isinstance(self._memory, Memory):
            return self._memory
        raise Unobservable("no figures")


class Heard:
    """The messages of a job."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def phase(self, phase: str, message: str) -> None:
        self.said.append(message)

    def emit(self, name: str, **fields: Any) -> None:
        self.said.append(str(fields.get("message")))


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    # So small a sample that it is no whole reading.
    monkeypatch.setattr(headstart, "MAX_SAMPLE_BYTES", 1)
    monkeypatch.setattr(headstart, "CHUNK_BYTES", 1 << 20)
    made = Launcher(tmp_path, "mlx_lm.server")
    (made.model / "model.safetensors").write_bytes(b"\0" * SIZE)
    yield made
    made.end()


def read(launcher: Launcher, folder: Path, memory: Any, replaces: bool) -> tuple[int, list[str]]:
    heard: Any = Heard()
    with context(launcher, folder, Eyes(memory)) as there:
        return prefetch_weights(
            there, heard, str(launcher.model), SIZE, replaces
        ).bytes_read, heard.said


def test_all_of_it_where_memory_has_room(launcher: Launcher, tmp_path: Path) -> None:
    assert read(launcher, tmp_path, ROOM, True) == (
        SIZE,
        ["reading weights into the page cache; the old model still serves"],
    )


def test_a_sample_where_nothing_serves_meanwhile(launcher: Launcher, tmp_path: Path) -> None:
    assert read(launcher, tmp_path, ROOM, False) == (1 << 20, [])


def test_a_sample_where_memory_is_short_or_unknown_and_it_is_said(
    launcher: Launcher, tmp_path: Path
) -> None:
    done, said = read(
        launcher, tmp_path, ROOM._replace(available_bytes=ROOM.available_bytes - 1), True
    )
    assert done == 1 << 20 and said[0].startswith(
        "weights are not read ahead: 2.0 GiB of memory are free"
    )
    assert read(launcher, tmp_path, None, True) == (
        1 << 20,
        ["weights are not read ahead: no figures"],
    )


def test_a_cancel_ends_the_reading(launcher: Launcher, tmp_path: Path) -> None:
    def cancelled(there: Context) -> None:
        there.client.cancelled = True
        prefetch_weights(there, Heard(), str(launcher.model), SIZE, True)  # type: ignore[arg-type]

    with (
        context(launcher, tmp_path, Eyes(ROOM)) as there,
        pytest.raises(Exception, match="cancelled"),
    ):
        cancelled(there)
