"""The memory of a model by its own loader: no healthy server goes for a figure that is not real."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.cramped import Cramped
from tests.support.fakehub import FakeHub
from tests.support.publicshapes import (
    LLAMA_1B,
    LLAMA_1B_TOKEN_BYTES,
    NEMOTRON_SUPER,
    NEMOTRON_SUPER_BYTES,
    NEMOTRON_SUPER_TOKEN_BYTES,
    add_shape,
)
from tests.support.studio import Studio

MAC = 96_000_000_000
TOKENS = 32_768
SUPER = "nvidia/Llama-3_3-Nemotron-Super-49B-4bit"
ASKED = "asked mlx-lm "


@pytest.fixture
def studio(make_studio: Callable[..., Studio]) -> Studio:
    """With the real mlx_lm.server, on a machine of 96 GB."""
    program = Path(sys.executable).with_name("mlx_lm.server")
    runtime = {"name": "mlx_lm.server", "command": [str(program)], "grace_s": 20}
    return sized(make_studio(None, {**runtime, "env": {"HF_HUB_OFFLINE": "1"}}))


def sized(studio: Studio, size: int = MAC) -> Studio:
    Cramped(studio).size(size)
    return studio


@pytest.mark.slow
def test_a_49b_fits_beside_a_server_on_a_mac_of_96_gb(studio: Studio) -> None:
    port, other, _ = studio.ports
    studio.add("tiny/amber", model_files([" AMBER"]))
    studio.must("load", "tiny/amber", other)
    add_shape(studio, SUPER, NEMOTRON_SUPER, NEMOTRON_SUPER_BYTES)
    found = studio.must("fit", SUPER, port)
    assert found["kv_source"].startswith(ASKED)
    assert found["kv_bytes"] == TOKENS * NEMOTRON_SUPER_TOKEN_BYTES
    assert (found["fits"], found["unload"]) == (True, [])
    # The weights are none, which only --force passes.
    planned = studio.must("load", SUPER, port, "--evict", "--force", "--dry-run")
    assert planned["memory"]["kv_bytes"] == found["kv_bytes"]
    assert planned["memory"]["unload"] == []


@pytest.mark.slow
def test_the_answer_is_asked_for_once(studio: Studio) -> None:
    add_shape(studio, SUPER, NEMOTRON_SUPER, NEMOTRON_SUPER_BYTES)
    asking = "asking mlx_lm.server about"
    first, second = (studio.mlxops("fit", SUPER, studio.ports[0]) for _ in range(2))
    assert first.stderr.count(asking) == 1 and asking not in second.stderr
    assert first.result["kv_bytes"] == second.result["kv_bytes"]
    planned = [studio.mlxops("load", SUPER, studio.ports[0], "--dry-run") for _ in range(2)]
    assert planned[0].stderr.count(asking) <= 1 and asking not in planned[1].stderr
    longer = studio.must("fit", SUPER, studio.ports[0], "--context", 65536)
    assert longer["kv_bytes"] == 65536 * NEMOTRON_SUPER_TOKEN_BYTES


@pytest.mark.slow
def test_before_a_download_the_figure_is_the_same(studio: Studio, empty_hub: FakeHub) -> None:
    files = {**model_files([" PLAIN"]), "config.json": json.dumps(LLAMA_1B).encode()}
    write_cache(empty_hub.root, "org/plain", files)
    studio.hub_table = {"endpoint": empty_hub.url}
    studio.describe(**studio.described, hub_python=sys.executable)
    found = studio.must("fit", "org/plain")
    assert found["source"] == "hub" and found["kv_source"].startswith(ASKED)
    assert found["kv_bytes"] == TOKENS * LLAMA_1B_TOKEN_BYTES


@pytest.mark.slow
def test_a_draft_model_is_a_line_with_its_own_cache(studio: Studio) -> None:
    add_shape(studio, SUPER, NEMOTRON_SUPER, NEMOTRON_SUPER_BYTES)
    add_shape(studio, "org/draft", LLAMA_1B, 700_000_000)
    studio.must("register", "big", SUPER)
    studio.must("set", "big", "args=--draft-model org/draft")
    found = studio.must("fit", "big")
    (draft,) = found["second_models"]
    assert (draft["option"], draft["name"]) == ("--draft-model", "org/draft")
    assert draft["kv_source"].startswith(ASKED)
    assert draft["kv_bytes"] == TOKENS * LLAMA_1B_TOKEN_BYTES
    assert 700_000_000 < draft["weights_bytes"] < 730_000_000
    assert found["second_bytes"] == draft["bytes"] == draft["kv_bytes"] + draft["weights_bytes"]
    assert found["max_requests"] == 1


@pytest.mark.slow
def test_without_a_loader_the_most_is_counted_and_said(make_studio: Callable[..., Studio]) -> None:
    runtime = {"name": "mlx_lm.server", "command": ["/no/such/server"]}
    lone = sized(make_studio(None, runtime), 1 << 40)
    add_shape(lone, SUPER, NEMOTRON_SUPER, NEMOTRON_SUPER_BYTES)
    found = lone.must("fit", SUPER)
    assert "counted from config.json alone, the most it can be: no mlx-lm" in found["kv_source"]
    assert found["kv_bytes"] > TOKENS * NEMOTRON_SUPER_TOKEN_BYTES
