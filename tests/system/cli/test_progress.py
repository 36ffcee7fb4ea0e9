"""A load at a terminal is one line that is redrawn, with a real model server and a slow Hub."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, finished
from tests.support.terminal import COLUMNS, Terminal

ERASED = "\r\x1b[K"
GIB = 1 << 30


@pytest.fixture
def slow_hub(tmp_path: Path) -> Iterator[FakeHub]:
    """It has tiny/onyx, whose weights have 2 MB of blanks in their header, at 1 MB a second."""
    files = {**model_files([" ONYX"])}
    weights = files["model.safetensors"]
    (size,) = struct.unpack("<Q", weights[:8])
    header = weights[8 : 8 + size].ljust(2 << 20)
    files["model.safetensors"] = struct.pack("<Q", len(header)) + header + weights[8 + size :]
    write_cache(tmp_path / "remote", "tiny/onyx", files)
    with FakeHub(tmp_path / "remote") as hub:
        hub.faults.rate = 1 << 20
        yield hub


def drawn(screen: Terminal) -> list[str]:
    """What the redrawn line showed, one after the other."""
    return [part for part in screen.shown.split(ERASED) if part and "\n" not in part]


@pytest.mark.slow
def test_a_load_with_a_download_is_one_line_and_then_its_result(
    make_studio: Callable[..., Studio], slow_hub: FakeHub
) -> None:
    command = [str(Path(sys.executable).parent / "mlx_lm.server")]
    studio = make_studio(None, {"name": "mlx_lm.server", "command": command})
    studio.describe(hub_python=sys.executable, hub_endpoint=slow_hub.url)
    port = studio.ports[0]
    screen = Terminal(studio, "load", "tiny/onyx", port)
    assert screen.end() == 0, screen.shown
    lines = [line for line in screen.shown.split(ERASED)[-1].splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith(f"{port} serves onyx as ")
    assert screen.shown.count("\n") == 1 + screen.shown.count("warning: ")
    states = drawn(screen)
    assert max(map(len, states)) < COLUMNS
    loads = [line for line in states if line.startswith(f"{port} onyx  ")]
    assert [line for line in loads if re.search(r"downloading  \[[#.]+\] +\d+ % ", line)]
    assert [line for line in loads if "  loading  " in line]
    clocks = [
        float(found[1]) for found in map(re.compile(r"  ([\d.]+) s(?:,|$)").search, loads) if found
    ]
    assert clocks == sorted(clocks) and clocks[-1] > clocks[0]
    studio.must("unload", port)


@pytest.mark.slow
def test_the_memory_of_a_starting_server_is_a_part_of_its_weights(
    make_studio: Callable[..., Studio], fake_runtime: FakeRuntime
) -> None:
    runtime: dict[str, Any] = {"name": "mlx-openai-server", "command": fake_runtime.command}
    studio = make_studio(None, runtime)
    weights = studio.add("tiny/jade", model_files([" JADE"])) / "model.safetensors"
    studio.must("init")
    with weights.resolve().open("r+b") as file:
        file.truncate(2 * GIB)
    fake_runtime.behaves(load_s=3)
    screen = Terminal(studio, "load", "jade", studio.ports[0], "--force")
    assert screen.end() == 0, screen.shown
    assert re.search(r"jade  loading  \[[#.]+\] +\d %  [\d.]+ (MiB )?of 2.00 GiB  ", screen.shown)
    studio.must("unload", studio.ports[0])


def test_in_a_pipe_a_load_is_a_line_for_each_step(known: Studio) -> None:
    port = known.ports[0]
    loaded = finished(known.start("load", "amber", port))
    assert ERASED not in loaded.stderr
    assert [line for line in loaded.stderr.splitlines() if line.startswith(f"{port} amber: ")] == [
        f"{port} amber: starting mlx-openai-server",
        f"{port} amber: waiting for the server",
        f"{port} amber: ready",
    ]
    assert finished(known.start("-q", "unload", port)).stderr == ""


@pytest.mark.slow
def test_a_warning_that_every_load_repeats_is_printed_once(known: Studio) -> None:
    port, text = known.ports[0], "a reasoning_parser without a tool_call_parser"
    known.must("set", "amber", "reasoning_parser=qwen3", "tool_call_parser=none")

    def printed(*flags: str) -> int:
        loaded = finished(known.start("load", "amber", port, *flags))
        assert loaded.exit == 0, loaded
        known.must("unload", port)
        return loaded.stderr.count(text)

    assert [printed("-q"), printed(), printed(), printed("-v"), printed("-q")] == [0, 1, 0, 1, 0]
    dry = finished(known.start("load", "amber", port, "--dry-run"))
    assert dry.stderr.count(text) == 1
    again = known.mlxops("load", "amber", port)
    assert again.stderr.count(text) == 1 and any(text in one for one in again.result["warnings"])
