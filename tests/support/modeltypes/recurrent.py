"""The families with layers whose state does not grow with the context: Mamba, gated deltas, linear
attention, short convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attending import EXPERTS, LATENT, LINGS, ROUTED, SCALED, WINDOW

# A gated delta layer.
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}
HALF = {"partial_rotary_factor": 0.5}
KIMI = {
    **{key: value for key, value in LATENT.items() if key != "q_lora_rank"},
    "num_experts": 4,
    "num_experts_per_token": 2,
    "num_shared_experts": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "model_max_length": 8192,
    "mla_use_nope": True,
    "linear_attn_config": {
        "num_heads": 4,
        "head_dim": 16,
        "short_conv_kernel_size": 4,
        "kda_layers": [1, 2, 3],
        "full_attn_layers": [4],
    },
}
NEMOTRON_H = {
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "mamba_proj_bias": False,
    "ssm_state_size": 16,
    "conv_kernel": 4,
    "n_groups": 1,
    "layer_norm_epsilon": 1e-5,
    "use_bias": False,
    "use_conv_bias": True,
}

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "baichuan_m1": {
        "tie_word_embeddings": False,
        "sliding_window": WINDOW,
        "sliding_window_layers": [0, 2],
        "num_swa_attention_heads": 4,
        "num_swa_key_value_heads": 4,
        "conv_window": 2,
    },
    "bailing_hybrid": {**LINGS, **LATENT, "layer_group_size": 2, "group_norm_size": 2},
    "bailing_moe_linear": {**LINGS, "layer_group_size": 2, "group_norm_size": 2},
    "bailing_moe_v3": {
        "model_type": "bailing_hybrid",
        "architectures": ["BailingMoeV3ForCausalLM"],
        **LINGS,
        **LATENT,
        "layer_group_size": 2,
        "moe_shared_expert_intermediate_size": 32,
    },
    "falcon_h1": {
        "mamba_d_conv": 4,
        "mamba_d_head": 16,
        "mamba_d_ssm": 64,
        "mamba_d_state": 16,
        "mamba_n_groups": 1,
        "mamba_n_heads": 4,
    },
    "falcon_mamba": {
        "state_size": 16,
        "conv_kernel": 4,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_rank": 4,
    },
    "gear": {
        "sliding_window": WINDOW,
        "conv_L_cache": 3,
        "layer_types": ["conv_mixer", "sliding_attention", "full_attention", "conv_mixer"],
    },
    "granitemoehybrid": {
        **SCALED,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 32,
        "layer_types": ["mamba", "mamba", "attention", "mamba"],
        "mamba_n_heads": 4,
        "mamba_d_head": 32,
        "mamba_proj_bias": False,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_n_groups": 1,
        "mamba_conv_bias": True,
        "position_embedding_type": "nope",
    },
    "jamba": {
        **EXPERTS,
        "attn_layer_offset": 1,
        "attn_layer_period": 4,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
        "mamba_d_conv": 4,
        "mamba_d_state": 16,
        "mamba_expand": 2,
    },
    "kimi_linear": KIMI,
    "lfm2": {
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": 64,
        "block_multiple_of": 32,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": True,
        "block_ff_dim": 64,
        "full_attn_idxs": [2],
    },
    "lfm2_moe": {
        **EXPERTS,
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "use_expert_bias": True,
        "num_dense_layers": 1,
        "layer_types": ["conv", "conv", "full_attention", "conv"],
    },
    "mamba": {
        "state_size": 16,
        "conv_kernel": 4,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_rank": 4,
    },
    "mamba2": {
        "num_heads": 8,
        "state_size": 16,
        "conv_kernel": 4,
        "n_groups": 1,
        "layer_norm_epsilon": 1e-5,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_limit": [0.001, 100.0],
        "time_step_rank": "auto",
    },
    "nemotron_h": {
        **NEMOTRON_H,
        **{key: ROUTED[key] for key in ROUTED if key != "partial_rotary_factor"},
        "moe_shared_expert_intermediate_size": 32,
        "num_hidden_layers": 6,
        "hybrid_override_pattern": "M*-MEM",
    },
    "olmo_hybrid": {
        **DELTA,
        "linear_allow_neg_eigval": True,
        "layer_types": ["linear_attention", "linear_attention", "full_attention"] * 2,
        "num_hidden_layers": 6,
    },
    "plamo2": {
        "hidden_size_per_head": 16,
        "attention_window_size": WINDOW,
        "full_attention_idx": [1],
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_num_heads": 4,
        "mamba_step": 2,
    },
    "qwen3_next": {**EXPERTS, **DELTA, **HALF, "full_attention_interval": 2},
    "recurrent_gemma": {
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "attention_window_size": WINDOW,
        "block_types": ["recurrent", "recurrent", "attention"],
        "num_hidden_layers": 6,
    },
    "rwkv7": {
        "norm_eps": 1e-5,
        "a_low_rank_dim": 8,
        "v_low_rank_dim": 8,
        "gate_low_rank_dim": 8,
        "decay_low_rank_dim": 8,
    },
}
