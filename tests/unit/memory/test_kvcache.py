"""The most that a config allows, and a quantized cache, compared with the caches that mlx-lm makes
and fills."""

from __future__ import annotations

import math
from typing import Any

import mlx.core
import pytest
from mlx_lm.models import cache
from mlx_lm.utils import _get_classes

from mlxops.agent.loader.description import CacheLayer, CacheShape, Description
from mlxops.agent.memory.arguments import Settings
from mlxops.agent.memory.kvcache import count_cache, quantized_bytes, upper_bound
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
def test_the_most_is_not_less_than_mlx_lm_takes(family: str) -> None:
    config = {**BASE, **FAMILIES[family], "model_type": family}
    shape = upper_bound(config)
    assert shape is not None
    for tokens in (64, 700):
        assert filled(config, tokens) <= shape.bytes(tokens), tokens


@pytest.mark.parametrize("family", SHAPES)
def test_of_every_family_that_is_known_to_serve_it_is_never_less(family: str) -> None:
    config = {**COMMON, **SHAPES[family], "model_type": family, "vocab_size": 64}
    shape = upper_bound(config)
    assert shape is not None and filled(config, 300) <= shape.bytes(300)


def test_of_a_plain_model_the_most_is_near_the_truth() -> None:
    """Llama 3.3 70B: grouped heads in every layer, 320 KiB per token, and room for one step more
    and for states."""
    config = {"num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8}
    shape = upper_bound({**config, "hidden_size": 8192, "torch_dtype": "bfloat16"})
    assert shape is not None
    real = (320 << 10) * 32768
    assert real < shape.bytes(32768) < 1.06 * real
    wide = upper_bound({**config, "hidden_size": 8192, "torch_dtype": "float32"})
    assert wide is not None and wide.bytes(32768) > 1.9 * real


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": 4},
        {"hidden_size": 64, "num_attention_heads": 4},
        {"num_hidden_layers": 10**12, "hidden_size": 64},
        {"num_hidden_layers": "4", "hidden_size": True},
        {"num_hidden_layers": -4, "hidden_size": 64},
        {"vision_config": {"num_hidden_layers": 4, "hidden_size": 64}},
    ],
)
def test_a_config_without_its_sizes_gives_none(config: dict[str, Any]) -> None:
    assert upper_bound(config) is None


def test_a_config_that_nests_without_end_is_read_to_a_depth() -> None:
    config: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 64}
    for _ in range(900):
        config = {"more": config, "num_hidden_layers": 2, "hidden_size": 64}
    assert upper_bound(config) is not None


LOADED = Description("mlx-lm 0.32.2", cache=CacheShape((CacheLayer(1000, 256),)))


@pytest.mark.parametrize(
    ("description", "reason", "source"),
    [
        (LOADED, "", "asked mlx-lm 0.32.2"),
        (LOADED, "not asked", "asked mlx-lm 0.32.2"),
        (Description("mlx-lm 0.32.2", refusal="Model type x not supported."), "", "x not support"),
        (None, "vllm does not use mlx-lm", "the most it can be: vllm does not use mlx-lm"),
        (Description("mlx-lm 0.32.2", failure="took too long"), "", "it can be: took too long"),
        (None, "", "the most it can be: no mlx-lm here to ask"),
    ],
)
def test_a_figure_says_where_it_comes_from(
    description: Description | None, reason: str, source: str
) -> None:
    config = {**BASE, "model_type": "llama"}
    found = count_cache(config, description, reason)
    assert source in found.source
    asked = description is LOADED
    assert found.shape == (LOADED.cache if asked else upper_bound(config))


@pytest.mark.parametrize(("bits", "group"), [(2, 64), (3, 32), (4, 64), (6, 64), (8, 32)])
def test_a_quantized_cache_takes_what_mlx_lm_quantizes_it_to(bits: int, group: int) -> None:
    """Two heads of 64 values at 16 bits, 4096 tokens."""
    stored = cache.KVCache()
    values = mlx.core.zeros((1, 2, 4096, 64), dtype=mlx.core.bfloat16)
    stored.update_and_fetch(values, values)
    packed = stored.to_quantized(group_size=group, bits=bits)
    arrays = [*packed.keys, *packed.values]
    real = sum(math.prod(array.shape) * array.dtype.size for array in arrays)
    shape = CacheShape((CacheLayer(2 * 2 * 64 * 2, 256, quantizes=True),))
    settings = Settings(kv_bits=bits, kv_group=group, chunk=64)
    assert shape.bytes(4096) == stored.nbytes
    assert real <= quantized_bytes(shape, settings, 4096, 2) <= 1.01 * real


def test_only_keys_and_values_of_all_tokens_are_quantized() -> None:
    settings = Settings(kv_bits=4, quantized_after=5000)
    plain = CacheLayer(1024, 256, copies=2, quantizes=True)
    window = CacheLayer(1024, 256, 1024)
    state = CacheLayer(0, 1, None, 4096)
    half = quantized_bytes(CacheShape((plain,)), settings, 1 << 17, 2)
    assert half < 0.3 * CacheShape((plain,)).bytes(1 << 17)
    for other in (window, state):
        more = quantized_bytes(CacheShape((plain, other)), settings, 1 << 17, 2)
        assert more == half + other.bytes(1 << 17)
    # The first tokens are stored in full before any are quantized.
    assert quantized_bytes(CacheShape((plain,)), settings, 4096, 2) == 2 * 1024 * 4096
    points = CacheShape((), ((2048, 100), (4096, 200)))
    assert quantized_bytes(points, settings, 4096, 2) == 200
