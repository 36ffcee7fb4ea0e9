"""Reading a model's files ahead: all or a sample, never blocked by what is not a regular file. Runs
on Python 3.9 too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops.agent.servers.prefetch import CHUNK_BYTES, ReadResult, read_files, weight_paths


def nothing(_: int) -> None:
    return


def files(folder: Path, *sizes: int) -> list[str]:
    for number, size in enumerate(sizes):
        (folder / f"{number}.safetensors").write_bytes(b"\0" * size)
    return [str(folder / f"{number}.safetensors") for number in range(len(sizes))]


def test_every_byte_of_every_file_is_read(tmp_path: Path) -> None:
    heard: list[int] = []
    reading = read_files(files(tmp_path, CHUNK_BYTES + 1, 0, 5), None, None, heard.append)
    assert (
        reading.bytes_read == CHUNK_BYTES + 6
        and heard[-1] == CHUNK_BYTES + 6
        and heard == sorted(heard)
    )


def test_a_sample_ends_with_the_chunk_that_fills_it(tmp_path: Path) -> None:
    assert (
        read_files(files(tmp_path, 3 * CHUNK_BYTES), CHUNK_BYTES + 1, None, nothing).bytes_read
        == 2 * CHUNK_BYTES
    )


def test_a_sample_ends_when_its_time_is_over(tmp_path: Path) -> None:
    assert (
        read_files(files(tmp_path, 3 * CHUNK_BYTES), None, 0.0, nothing).bytes_read == CHUNK_BYTES
    )


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    odd = [str(tmp_path), str(tmp_path / "absent"), str(tmp_path / "pipe"), "nul\0"]
    assert read_files([*odd, *files(tmp_path, 7)], None, None, nothing).bytes_read == 7


def test_whoever_is_told_may_end_it(tmp_path: Path) -> None:
    def enough(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_files(files(tmp_path, 3 * CHUNK_BYTES), None, None, enough)


def test_a_few_bytes_tell_nothing_of_the_disk() -> None:
    assert ReadResult(1 << 20, 0.001).bytes_per_s is None
    assert ReadResult(1 << 30, 2.0).bytes_per_s == 1 << 29


def test_the_weights_are_those_the_server_reads(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "notes.safetensors").write_bytes(b"x")
    assert weight_paths(str(tmp_path)) == [str(tmp_path / "model.safetensors")]
