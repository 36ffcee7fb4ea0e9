"""The sizes of public models, as far as their caches depend on them.

What a config of theirs leaves out is filled from the small config of the type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import shapes

FIXTURES = Path(__file__).parents[2] / "fixtures" / "models"
TOKENS = 32_768


def layer_types(count: int, every: int, others: str, own: str = "full_attention") -> list[str]:
    """`own` for every so many of the layers, from the last one back."""
    return [own if n % every == every - 1 else others for n in range(count)]


# 49 of the 80 blocks of the Super model attend.
SUPER = {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "vocab_size": 128256,
    "block_configs": [
        {
            "attention": {"no_op": n % 80 >= 49, "n_heads_in_group": 8 if n < 49 else None},
            "ffn": {"ffn_mult": 2.625, "no_op": False},
        }
        for n in range(80)
    ],
}
MISTRAL_SMALL_4 = {
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "kv_lora_rank": 256,
    "q_lora_rank": 1024,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 128,
    "moe_intermediate_size": 2048,
}
LING_2_5_1T = {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "head_dim": 128,
    "layer_group_size": 8,
    "group_norm_size": 8,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
}
GRANITE_4_H_SMALL = {
    "hidden_size": 4096,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "layer_types": layer_types(40, 10, "mamba", "attention"),
    "mamba_n_heads": 128,
    "mamba_d_head": 64,
    "mamba_d_state": 128,
    "num_local_experts": 72,
    "num_experts_per_tok": 10,
    "shared_intermediate_size": 1536,
}
GEMMA_4_UNIFIED = {
    "hidden_size": 3840,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "global_head_dim": 512,
    "num_global_key_value_heads": 1,
    "attention_k_eq_v": True,
    "num_kv_shared_layers": 0,
    "sliding_window": 1024,
    "layer_types": layer_types(48, 6, "sliding_attention"),
}
MINIMAX_M3 = {
    "hidden_size": 6144,
    "num_hidden_layers": 60,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_local_experts": 128,
    "moe_layer_freq": [0] * 3 + [1] * 57,
    "sparse_attention_config": {
        "sparse_num_index_heads": 4,
        "sparse_index_dim": 128,
        "sparse_block_size": 128,
        "sparse_topk_blocks": 16,
        "sparse_local_block": 1,
        "sparse_attention_freq": [0] * 3 + [1] * 57,
    },
}
BY_HAND: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Llama-3.3-Nemotron-Super-49B": ("nemotron-nas", SUPER),
    "Mistral-Small-4": ("mistral4", MISTRAL_SMALL_4),
    "Ling-2.5-1T": ("bailing_hybrid", LING_2_5_1T),
    "granite-4.0-h-small": ("granitemoehybrid", GRANITE_4_H_SMALL),
    "Gemma 4 unified, 48 layers": ("gemma4_unified", GEMMA_4_UNIFIED),
    "MiniMax-M3": ("minimax_m3_vl", MINIMAX_M3),
}


# Of tests/fixtures/models, one of each family.
RECORDED = (
    *("DeepSeek-V3.2-4bit", "GLM-5.1-MLX-4.5bit", "Kimi-K2-Instruct-4bit"),
    *("Llama-3.3-70B-Instruct-8bit", "MiniMax-M2.5-8bit", "Mixtral-8x22B-Instruct-v0.1-8bit"),
    *("NVIDIA-Nemotron-3-Nano-30B-A3B-MLX-BF16", "Qwen3-235B-A22B-Instruct-2507-4bit"),
    *("Qwen3-Next-80B-A3B-Thinking-8bit", "Qwen3.5-397B-A17B-4bit", "gemma-4-31b-it-8bit"),
    "gpt-oss-120b-MXFP4-Q8",
)


def configs() -> dict[str, dict[str, Any]]:
    """Model -> its config."""
    found = {name: _full(model_type, own) for name, (model_type, own) in BY_HAND.items()}
    for name in RECORDED:
        own = json.loads((FIXTURES / f"{name}.json").read_text())["config"]
        found[name] = _full(own["model_type"], own)
    return found


def _full(model_type: str, own: Mapping[str, Any]) -> dict[str, Any]:
    small = shapes.config(model_type)
    if "text_config" not in small:
        return {**_without_head(small), **own, "model_type": model_type}
    inner = own.get("text_config", own)
    return {**small, "text_config": {**_without_head(small["text_config"]), **inner}}


def _without_head(small: Mapping[str, Any]) -> dict[str, Any]:
    """Without the small heads, whose size follows from the model's own width."""
    return {key: value for key, value in small.items() if key != "head_dim"}
