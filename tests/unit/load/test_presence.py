"""What a load says of models that are on the host already."""

from __future__ import annotations

import pytest

from mlxops.agent.load.presence import local_copy_note
from mlxops.agent.load.request import LoadRequest
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry

FOLDER = "/models/mlx-community/Qwen3-4B-4bit"
NOTE = f"mlx-community/Qwen3-4B-4bit is on the host, in {FOLDER}: mlxops load 'the four' 8100"


@pytest.mark.parametrize(
    ("repo_id", "note"), [("mlx-community/Qwen3-4B-4bit", NOTE), ("other/Qwen3-4B-4bit", "")]
)
def test_a_download_of_a_model_that_a_local_entry_has_is_told(repo_id: str, note: str):
    local = Entry("the four", {**REQUIRED, "cache_path": FOLDER})
    entry = Entry("new", {**REQUIRED, "repo_id": repo_id})
    request = LoadRequest(repo_id, 8100, False, False, True, True, None, None, None)
    registry = Registry({"the four": local}, {})
    assert local_copy_note(registry, entry, request) == note
