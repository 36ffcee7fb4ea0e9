"""Search through the real huggingface_hub."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops import hub
from mlxops.agent.errors import NotDownloadable
from tests.support.fakehub import FakeHub

# The patience of one request, and a slow machine; the library's own retries would take 20 s.
WITHIN_S = 9.0
BIG = {
    "downloads": 10,
    "safetensors": {"parameters": {"U32": 100, "BF16": 10}, "total": 110},
    "gated": "manual",
}
SMALL = {"downloads": 500, "usedStorage": 1234}
LISTING = {
    "mlx-community/Qwen3-8B-4bit": BIG,
    "mlx-community/Qwen3-0.6B-4bit": SMALL,
    "mlx-community/gemma-3-4bit": {"downloads": 9000},
    "Qwen/Qwen3-8B": {"downloads": 9999, "tags": ["safetensors"]},
}


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with FakeHub(tmp_path, listing=LISTING) as fake:
        yield fake


def test_mlx_models_only_most_downloaded_first(listed: FakeHub) -> None:
    rows = hub.search("qwen3", endpoint=listed.url)
    assert [row["repo_id"] for row in rows] == [
        "mlx-community/Qwen3-0.6B-4bit",
        "mlx-community/Qwen3-8B-4bit",
    ]
    assert rows[1] == {
        "repo_id": "mlx-community/Qwen3-8B-4bit",
        "size_bytes": 420,
        "downloads": 10,
        "gated": True,
        "modified": "2026-01-01T00:00:00+00:00",
    }
    assert (rows[0]["size_bytes"], rows[0]["gated"]) == (1234, False)


def test_words_narrow_and_the_limit_holds(listed: FakeHub) -> None:
    assert [row["repo_id"] for row in hub.search("qwen3 8b", endpoint=listed.url)] == [
        "mlx-community/Qwen3-8B-4bit"
    ]
    assert [row["size_bytes"] for row in hub.search("", limit=1, endpoint=listed.url)] == [None]
    assert hub.search("nothing like it", endpoint=listed.url) == []


def test_a_hub_that_cannot_be_asked(free_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(NotDownloadable) as caught:
        hub.search("qwen3", endpoint=f"http://127.0.0.1:{free_port}")
    where = f"cannot search the Hub at http://127.0.0.1:{free_port}: this machine cannot reach it"
    assert caught.value.message == f"{where} (Connection refused)"
    assert time.monotonic() - began < WITHIN_S


@pytest.mark.slow
def test_a_hub_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(NotDownloadable, match="cannot search the Hub"):
            hub.search("qwen3", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < WITHIN_S


def test_a_hub_that_is_out_of_order(listed: FakeHub) -> None:
    listed.faults.refusals = 99
    began = time.monotonic()
    with pytest.raises(NotDownloadable, match="503"):
        hub.search("qwen3", endpoint=listed.url)
    assert time.monotonic() - began < WITHIN_S


@pytest.mark.parametrize(
    "answer",
    [7, [7], ["x/y"], [None], [{}], [{"id": "x/y", "safetensors": 7}], {"error": "none"}, [[]]],
)
def test_an_answer_that_lists_no_models(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(hub, "_query", lambda *_: answer)
    with pytest.raises(NotDownloadable, match="its answer does not list models"):
        hub.search("qwen3")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"U32": 2, "BF16": 3, "F8_E4M3": 1}, 15),
        ({}, None),
        ({"U32": 2, "Q9": 1}, None),
    ],
)
def test_weights_bytes(parameters: dict[str, int], expected: int | None) -> None:
    assert hub.weights_bytes(parameters) == expected
