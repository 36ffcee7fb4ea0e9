"""The families whose config.json nests the text model: models for text and images, and their
remapped names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .attending import GEMMA4, MIXED, WINDOW
from .recurrent import DELTA, EXPERTS

GEMMA3N = {
    "num_hidden_layers": 6,
    "num_kv_shared_layers": 2,
    "sliding_window": WINDOW,
    "layer_types": [*MIXED, *MIXED[:2]],
    "intermediate_size": [64] * 6,
    "vocab_size_per_layer_input": 64,
    "hidden_size_per_layer_input": 16,
    "rope_local_base_freq": 10000.0,
    "final_logit_softcapping": 30.0,
    "activation_sparsity_pattern": [0.0] * 6,
    "altup_num_inputs": 2,
    "altup_coef_clip": 120.0,
    "altup_correct_scale": True,
    "altup_active_idx": 0,
    "laurel_rank": 8,
}
# Full attention in the last layer only, over two passes of a latent.
KIMI_K3 = {
    "hidden_act": "situ",
    "activation_situ_beta": 1.0,
    "activation_situ_linear_beta": 1.0,
    "attn_res_block_size": 2,
    "q_lora_rank": 32,
    "mla_use_output_gate": True,
}
MINIMAX_M3 = {
    "dense_intermediate_size": 64,
    "shared_intermediate_size": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_layer_freq": [0, 1, 1, 1],
    "sparse_attention_config": {
        "sparse_num_index_heads": 2,
        "sparse_index_dim": 16,
        "sparse_block_size": 64,
        "sparse_topk_blocks": 4,
        "sparse_local_block": 1,
        "sparse_attention_freq": [0, 1, 1, 1],
    },
}
MUSE_SPARK = {
    "post_norm_eps": 1e-8,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "layer_rope_theta": [10000.0, 0.0, 10000.0, 0.0],
    "layer_types": MIXED,
    "sliding_window": WINDOW,
    "final_logit_softcapping": 20.0,
    "output_multiplier": 0.2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_hidden_size": 32,
    "moe_intermediate_size": 32,
}
LLAMA4 = {
    "attention_chunk_size": WINDOW,
    "interleave_moe_layer_step": 2,
    "intermediate_size_mlp": 64,
    "num_experts_per_tok": 1,
    "num_local_experts": 4,
    "rope_scaling": None,
    "use_qk_norm": True,
}
QWEN3_5 = {**DELTA, "full_attention_interval": 2}
PRISM = {
    **QWEN3_5,
    "hidden_size": 512,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "head_dim": 64,
    "linear_value_head_dim": 128,
}

# Model type -> the type of its text model, and what that adds.
INNER: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gemma3": ("gemma3_text", {}),
    "gemma3n": ("llama", {"model_type": "gemma3n_text", **GEMMA3N}),
    "gemma4": ("gemma4_text", {}),
    "gemma4_unified": ("gemma4_text", {"model_type": "gemma4_unified_text", **GEMMA4}),
    "kimi_k25": ("kimi_k2", {}),
    "kimi_k3": ("kimi_linear", KIMI_K3),
    "kimi_vl": ("deepseek_v3", {}),
    "lfm2-vl": ("lfm2", {}),
    "llama4": ("llama", {"model_type": "llama4_text", **LLAMA4}),
    "llava": ("mistral", {}),
    "minimax_m3_vl": ("minimax", {"model_type": "minimax_m3", **MINIMAX_M3}),
    "mistral3": ("ministral3", {}),
    "muse_spark": ("llama", {"model_type": "muse_spark_text", **MUSE_SPARK}),
    "pixtral": ("mistral", {}),
    "prism_hadamard_qwen35": ("llama", {"model_type": "qwen3_5_text", **PRISM}),
    "qwen2_5_vl": ("qwen2", {}),
    "qwen2_vl": ("qwen2", {}),
    "qwen3_5": ("llama", {"model_type": "qwen3_5_text", **QWEN3_5}),
    "qwen3_5_moe": ("llama", {"model_type": "qwen3_5_moe_text", **QWEN3_5, **EXPERTS}),
    "qwen3_vl": ("qwen3", {}),
    "qwen3_vl_moe": ("qwen3_moe", {}),
}
# What stands beside the nested text model.
OUTER: Mapping[str, Mapping[str, Any]] = {
    "prism_hadamard_qwen35": {
        "schema_version": 2,
        "tensor_namespace": "mlx-vlm-qwen3_5",
        "quantization": {"bits": 2, "group_size": 128, "mode": "affine"},
        "modules": [
            {
                "path": "model.layers.0.mlp.gate_proj",
                "block": 512,
                "embedding": False,
                "dtype": "float16",
            }
        ],
    },
}


def config(model_type: str, plain: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    inner, added = INNER[model_type]
    return {
        "model_type": model_type,
        "vocab_size": 64,
        "text_config": {**plain(inner), **added},
        **OUTER.get(model_type, {}),
    }
