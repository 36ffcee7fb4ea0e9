"""What a look at the names, links and sizes of a folder shows, as `list` takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.models import completeness
from mlxops.agent.models.files import INDEX
from tests.support.modelstates import LFS, tensors
from tests.support.modelstates import PARTS as SHARDS
from tests.unit.models.test_files import folder

WHOLE = tensors(w=2048)


@pytest.mark.parametrize(
    ("changes", "gaps"),
    [
        ({}, {}),
        ({"config.json": None}, {"config.json": "missing"}),
        ({"model.safetensors": None}, {"model.safetensors": "missing"}),
        ({"model.safetensors": None, INDEX: None, SHARDS[0]: WHOLE}, {SHARDS[1]: "missing"}),
        ({"model.safetensors": LFS}, {"model.safetensors": "a Git LFS pointer"}),
        ({"model.safetensors": b""}, {"model.safetensors": "empty"}),
        ({"tokenizer.json": None}, {"tokenizer.json": "missing"}),
        ({"model.safetensors": None, "model.gguf": b"x"}, {"model.safetensors": "are GGUF files"}),
        ({"model.safetensors": None, "a.npz": b"x"}, {"model.safetensors": "of an early mlx-lm"}),
        ({"model.safetensors": None, "a.bin": b"x"}, {"model.safetensors": "are PyTorch .bin"}),
        (
            {"model.safetensors": None, "consolidated.safetensors": b"x"},
            {"model.safetensors": "not consolidated.safetensors"},
        ),
        (
            {"model.safetensors": None, "adapters.safetensors": WHOLE},
            {"model.safetensors": "an adapter, not a model"},
        ),
    ],
)
def test_gaps_are_visible_from_names_and_sizes(
    tmp_path: Path, changes: dict[str, Any], gaps: dict[str, str]
) -> None:
    """And a closer look says the same."""
    path = str(folder(tmp_path, **changes))
    found = completeness.visible_gaps(path)
    assert found.keys() == gaps.keys() and all(why in found[name] for name, why in gaps.items())
    assert completeness.find_faults(path) == found


def test_a_broken_link_is_a_visible_gap(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "model.safetensors").unlink()
    (path / "model.safetensors").symlink_to("../blobs/gone")
    (path / "README.md").unlink(missing_ok=True)
    (path / "README.md").symlink_to("gone")
    gaps = completeness.visible_gaps(str(path))
    assert gaps == {"model.safetensors": f"a broken link: {tmp_path.parent}/blobs does not exist"}
