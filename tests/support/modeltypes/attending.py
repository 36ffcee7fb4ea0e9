"""The families whose layers all attend: to everything, or to a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WINDOW = 96
# Every second layer of a family with windows.
MIXED = ["sliding_attention", "full_attention"] * 2
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "shared_expert_intermediate_size": 32,
}
ROUTED = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "routed_scaling_factor": 1.0,
    "norm_topk_prob": True,
    "n_group": 1,
    "topk_group": 1,
    "partial_rotary_factor": 0.5,
}
# Keys and values of one latent per token.
LATENT = {
    "q_lora_rank": 32,
    "kv_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}
LINGS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_shared_experts": 1,
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 1.0,
    "score_function": "sigmoid",
    "moe_router_enable_expert_bias": True,
    "use_qk_norm": True,
}
SCALED = {
    "logits_scaling": 8.0,
    "attention_multiplier": 0.25,
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
}
INDEXED = {"index_head_dim": 16, "index_n_heads": 2, "index_topk": 64}
DEEPSEEK_V41 = {
    **ROUTED,
    "num_attention_heads": 4,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "o_groups": 2,
    "o_lora_rank": 16,
    "sliding_window": WINDOW,
    "compress_ratios": [0, 4, 4, 32],
    "kv_source_layer_ids": [1, 3],
    "index_source_layer_ids": [1, 3],
    "hc_mult": 2,
    **INDEXED,
}
GPT2 = {"n_embd": 64, "n_head": 4, "n_layer": 4, "n_ctx": 8192, "n_positions": 8192}
GEMMA4 = {
    "sliding_window": WINDOW,
    "global_head_dim": 32,
    "num_global_key_value_heads": 1,
    "num_kv_shared_layers": 2,
    "num_hidden_layers": 6,
    "sliding_window_pattern": 2,
    "hidden_size_per_layer_input": 0,
    "vocab_size_per_layer_input": 0,
    "layer_types": [*MIXED, *MIXED[:2]],
}
GLM4_MOE = {**ROUTED, "use_qk_norm": True, "rope_scaling": None}
PHIXTRAL = {
    "num_vocab": 64,
    "model_dim": 64,
    "num_heads": 4,
    "num_layers": 4,
    "rotary_dim": 8,
}
ROPES = {
    kind: {"rope_type": "default", "rope_theta": 10000.0}
    for kind in ("full_attention", "sliding_attention")
}
MLP_TYPES = ["dense", "sparse", "sparse", "sparse"]

FULL: Mapping[str, Mapping[str, Any]] = {
    "Klear": {**EXPERTS, "n_shared_experts": 1},
    "afm7": {
        "hidden_dim": 64,
        "num_layers": 6,
        "num_kv_reuse_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
    },
    "apertus": {"post_norm": False, "qk_norm": True},
    "bailing_moe": LINGS,
    "bitnet": {},
    "cohere": {},
    "dbrx": {
        "d_model": 64,
        "n_layers": 4,
        "n_heads": 4,
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
    },
    "deepseek": ROUTED,
    "dots1": ROUTED,
    "ernie4_5": {"use_bias": False},
    "ernie4_5_moe": {
        "use_bias": False,
        "moe_num_experts": 4,
        "moe_k": 2,
        "moe_intermediate_size": 32,
        "moe_layer_start_index": 1,
    },
    "exaone": {"num_layers": 4, "layer_norm_epsilon": 1e-5},
    "gemma": {},
    "gemma2": {},
    "glm": {},
    "glm4": {"partial_rotary_factor": 0.5},
    "glm4_moe": GLM4_MOE,
    "gpt2": {**GPT2, "layer_norm_epsilon": 1e-5},
    "gpt_bigcode": {**GPT2, "n_inner": 64, "layer_norm_epsilon": 1e-5},
    "gpt_neox": {"layer_norm_eps": 1e-5, "rotary_emb_base": 10000, "rotary_pct": 0.25},
    "gptj": {**GPT2, "rotary_dim": 8},
    "granite": SCALED,
    "granitemoe": {**SCALED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "helium": {},
    "hunyuan": {
        **EXPERTS,
        "moe_topk": 2,
        "num_shared_expert": 1,
        "use_mixed_mlp_moe": True,
        "use_qk_norm": True,
        "use_cla": True,
        "cla_share_factor": 2,
        "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0},
    },
    "hunyuan_v1_dense": {"rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}},
    "internlm2": {},
    "internlm3": {},
    "iquestcoder": {},
    "lille-130m": {
        "block_size": 8192,
        "layer_norm_eps": 1e-5,
        "n_embd": 64,
        "n_head": 4,
        "n_kv_heads": 2,
        "n_layer": 4,
        "rope_theta": 10000.0,
    },
    "llama": {},
    "llama4_text": {
        "intermediate_size_mlp": 64,
        "no_rope_layers": [1, 1, 1, 0],
        "use_qk_norm": True,
    },
    "mimo": {},
    "minicpm": {"dim_model_base": 16, "scale_depth": 1.4, "scale_emb": 12},
    "minimax": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 0,
        "rotary_dim": 8,
    },
    "minimax_m2": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 0,
        "rotary_dim": 8,
    },
    "mistral": {"sliding_window": None},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "nanbeige": {"num_loops": 2},
    "nanochat": {},
    "nemotron": {"hidden_act": "relu2", "norm_eps": 1e-5},
    "nemotron-nas": {
        "num_key_value_heads": None,
        "num_hidden_layers": 6,
        "block_configs": [
            {
                "attention": {"n_heads_in_group": group, "no_op": group is None},
                "ffn": {"ffn_mult": 1.0},
            }
            for group in (2, 4, None, 4, 2, None)
        ],
    },
    "olmo": {"d_model": 64, "n_layers": 4, "n_heads": 4, "mlp_hidden_size": 64},
    "olmo2": {},
    "olmoe": EXPERTS,
    "openelm": {
        "num_transformer_layers": 4,
        "model_dim": 64,
        "head_dim": 16,
        "ffn_dim_divisor": 16,
        "num_query_heads": [4, 4, 8, 8],
        "num_kv_heads": [1, 1, 2, 2],
        "ffn_multipliers": [0.5, 1.0, 1.5, 2.0],
    },
    "phi": {"partial_rotary_factor": 0.5},
    "phi-msft": PHIXTRAL,
    "phi3": {},
    "phi3small": {
        "dense_attention_every_n_layers": 2,
        "ff_intermediate_size": 64,
        "gegelu_limit": 20.0,
        "layer_norm_epsilon": 1e-5,
    },
    "phimoe": {
        "num_local_experts": 4,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0] * 8,
            "long_factor": [1.0] * 8,
            "short_mscale": 1.2,
            "long_mscale": 1.2,
        },
    },
    "phixtral": PHIXTRAL,
    "plamo": {"n_shared_head": 2},
    "qwen": {"kv_channels": 16, "intermediate_size": 128},
    "qwen2": {},
    "qwen2_moe": EXPERTS,
    "qwen3": {},
    "qwen3_moe": EXPERTS,
    "seed_oss": {},
    "solar_open": ROUTED,
    "stablelm": {"use_qkv_bias": False, "partial_rotary_factor": 0.25, "layer_norm_eps": 1e-5},
    "starcoder2": {},
    "talkie": {},
    "telechat3": {},
    "xverse": {},
}
WINDOWED: Mapping[str, Mapping[str, Any]] = {
    "afmoe": {
        **EXPERTS,
        "layer_types": MIXED,
        "sliding_window": WINDOW,
        "num_dense_layers": 1,
        "num_shared_experts": 1,
    },
    "cohere2": {"sliding_window": WINDOW, "sliding_window_pattern": 2},
    "deepseek_v41": DEEPSEEK_V41,
    "deepseek_v41_text": DEEPSEEK_V41,
    "exaone4": {
        "rope_scaling": None,
        "sliding_window": WINDOW,
        "sliding_window_pattern": "LG",
    },
    "exaone_moe": {
        **EXPERTS,
        "num_shared_experts": 1,
        "sliding_window": WINDOW,
        "layer_types": MIXED,
        "is_moe_layer": [False, True, True, True],
    },
    "gemma3_text": {
        "num_hidden_layers": 6,
        "sliding_window": WINDOW,
        "sliding_window_pattern": 3,
    },
    "gemma4_text": GEMMA4,
    "gpt_oss": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": WINDOW,
        "layer_types": MIXED,
    },
    "iquestloopcoder": {"loop_num": 2, "loop_window_size": WINDOW},
    "laguna": {
        **EXPERTS,
        "sliding_window": WINDOW,
        "layer_types": MIXED,
        "mlp_layer_types": MLP_TYPES,
    },
    "mellum": {
        **EXPERTS,
        "sliding_window": WINDOW,
        "layer_types": MIXED,
        "rope_parameters": ROPES,
    },
    "mimo_v2_flash": {
        **ROUTED,
        "hybrid_layer_pattern": [0, 1, 1, 0],
        "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "sliding_window_size": WINDOW,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "layernorm_epsilon": 1e-5,
        "swa_rope_theta": 10000.0,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "head_dim": 24,
        "v_head_dim": 16,
        "swa_head_dim": 24,
        "swa_v_head_dim": 16,
    },
    "ministral3": {
        "sliding_window": WINDOW,
        "layer_types": MIXED,
        "rope_parameters": {
            "rope_type": "yarn",
            "type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 2048,
            "llama_4_scaling_beta": 0.1,
        },
    },
    "muse_glimmer": {"sliding_window": WINDOW, "layer_types": MIXED},
    "olmo3": {"sliding_window": WINDOW, "layer_types": MIXED},
    "plamo3": {"window_size": WINDOW, "sliding_window": WINDOW, "sliding_window_pattern": 2},
    "smollm3": {"no_rope_layer_interval": 2},
    "spark2_5": {
        "sliding_window": WINDOW,
        "layer_types": MIXED,
        "rope_parameters": ROPES,
    },
    "step3p5": {
        "num_attention_groups": 2,
        "sliding_window": WINDOW,
        "layer_types": MIXED,
        "moe_num_experts": 4,
        "moe_top_k": 2,
        "moe_intermediate_size": 32,
        "share_expert_dim": 32,
        "moe_layers_enum": "1,2,3",
    },
}
SHAPES: Mapping[str, Mapping[str, Any]] = {**FULL, **WINDOWED}
