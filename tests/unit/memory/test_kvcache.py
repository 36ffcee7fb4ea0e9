"""The KV cache computed from a config, compared with the caches that mlx-lm makes and fills."""

from __future__ import annotations

from typing import Any

import mlx.core
import pytest
from mlx_lm.models import cache
from mlx_lm.utils import _get_classes

from mlxops.agent.memory import kvcache
from tests.families.bodies import COMMON, SHAPES
from tests.support import sizedmodel

CHUNK = 64
BASE = {
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-5,
    "vocab_size": 64,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "moe_intermediate_size": 16,
}
EXPERTS = {**sizedmodel.EXPERTS, "num_experts": 4, "moe_intermediate_size": 16}
MLA = {
    **sizedmodel.MLA,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_key_value_heads": 2,
    "moe_intermediate_size": 16,
}
TYPES = ["sliding_attention", "full_attention"] * 3
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "shared_expert_intermediate_size": 16,
    "full_attention_interval": 3,
    "partial_rotary_factor": 0.5,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {"sliding_window": 64, "use_sliding_window": False},
    "qwen3": {},
    "qwen3_moe": EXPERTS,
    "gemma3_text": {"sliding_window": 64, "sliding_window_pattern": 3},
    "gpt_oss": {
        "sliding_window": 64,
        "layer_types": TYPES,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
    "olmo3": {"sliding_window": 64, "layer_types": TYPES},
    "deepseek_v3": MLA,
    "deepseek_v2": {
        **MLA,
        "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024},
    },
    "glm4_moe_lite": {**MLA, "num_key_value_heads": 4, "rope_interleave": True},
    "qwen3_next": {**EXPERTS, **LINEAR},
}


def filled(config: dict[str, Any], tokens: int) -> int:
    """Bytes of the caches of a model with this config after so many tokens, at 16 bits."""
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    caches = cache.make_prompt_cache(model)
    for start in range(0, tokens, CHUNK):
        prompt = mlx.core.zeros((1, min(CHUNK, tokens - start)), dtype=mlx.core.int32)
        out = model(prompt, cache=caches)
        mlx.core.eval(out, [c.state for c in caches])
    return sum(c.nbytes for c in caches) // 2


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_mlx_lm_takes(family: str) -> None:
    config = {**BASE, **FAMILIES[family], "model_type": family}
    for tokens in (64, 700):
        computed = kvcache.size_bytes(config, tokens, CHUNK)
        assert computed is not None
        real = filled(config, tokens)
        assert real <= computed <= 1.5 * real, (tokens, real, computed)


@pytest.mark.parametrize("family", SHAPES)
def test_of_every_family_that_is_known_to_serve_it_is_never_less(family: str) -> None:
    """Also for unknown model types: full attention in every layer is the maximum."""
    config = {**COMMON, **SHAPES[family], "model_type": family, "vocab_size": 64}
    computed = kvcache.size_bytes(config, 300, CHUNK)
    assert computed is not None and filled(config, 300) <= computed
