"""The KV cache of large public models, asked of mlx-lm, against the same sum by hand."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlxops.agent.loader.description import CHUNK, description_of
from mlxops.agent.loader.process import ask_child
from mlxops.agent.loader.source import Listing
from mlxops.agent.procs import local_procs

FOLDER = Path(__file__).parents[2] / "fixtures" / "models"
MODELS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
# What the recorded configs leave out, and what changes nothing in a cache.
REST = {
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "layer_norm_epsilon": 1e-5,
    "mamba_proj_bias": False,
    "mlp_bias": False,
    "mlp_only_layers": [],
    "moe_layer_freq": 1,
    "n_group": 1,
    "norm_topk_prob": True,
    "partial_rotary_factor": 0.5,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "rotary_dim": 64,
    "routed_scaling_factor": 1.0,
    "scoring_func": "sigmoid",
    "shared_intermediate_size": 0,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "use_bias": False,
    "use_conv_bias": True,
    "use_qk_norm": False,
}
TOKENS = 1 << 17


def by_hand(kv: dict[str, Any]) -> int:
    """While a prompt is processed, a window also holds a chunk."""
    windows = sum(math.prod(w["factors"]) * (w["tokens"] + CHUNK) for w in kv["windowed"])
    growing, fixed = (sum(map(math.prod, kv[key])) for key in ("per_token", "fixed"))
    return growing * TOKENS + windows + fixed


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_mlx_lm_makes_what_the_sum_by_hand_gives(name: str) -> None:
    """A window keeps one token less than its size, and some states have 16 bits."""
    config = {**REST, **MODELS[name]["config"]}
    idle: Any = SimpleNamespace(check=lambda: None)
    site: Any = SimpleNamespace(server_env={})
    ctx: Any = SimpleNamespace(client=idle, procs=local_procs(), report=print, site=site)
    request = {"remote_code": False, "template": ""}
    source = Listing(json.dumps(config), {})
    answer = ask_child(ctx, [sys.executable], {**source.request(), **request})
    assert answer is not None
    said = description_of(answer.fields)
    assert said.cache is not None, said.refusal or said.failure
    hand = by_hand(MODELS[name]["kv"])
    assert 0.999 * hand <= said.cache.bytes(TOKENS) <= hand
