"""The families that store one latent per token instead of keys and values, or could."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attending import INDEXED, LATENT, ROUTED

LONGCAT = {
    **LATENT,
    "attention_method": "MLA",
    "zero_expert_type": "identity",
    "ffn_hidden_size": 64,
    "moe_topk": 2,
    "expert_ffn_hidden_size": 32,
    "n_routed_experts": 4,
    "zero_expert_num": 2,
    "num_layers": 2,
    "routed_scaling_factor": 1.0,
    "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True,
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "deepseek_v2": {
        **ROUTED,
        **LATENT,
        "rope_scaling": {
            "type": "yarn",
            "factor": 4,
            "original_max_position_embeddings": 1024,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
        },
    },
    "deepseek_v3": {**ROUTED, **LATENT},
    "deepseek_v32": {**ROUTED, **LATENT, **INDEXED},
    "glm4_moe_lite": {**ROUTED, **LATENT},
    "glm_moe_dsa": {
        **ROUTED,
        **LATENT,
        **INDEXED,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "joyai_llm_flash": {**ROUTED, **LATENT},
    "kimi_k2": {**ROUTED, **LATENT},
    "longcat_flash": LONGCAT,
    "longcat_flash_ngram": {
        **LONGCAT,
        "ngram_vocab_size_ratio": 4,
        "emb_neighbor_num": 3,
        "emb_split_num": 2,
    },
    "minicpm3": {
        **LATENT,
        "dim_model_base": 16,
        "scale_depth": 1.4,
        "scale_emb": 12,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [1.0] * 4,
            "original_max_position_embeddings": 8192,
        },
    },
    "mistral4": {
        **ROUTED,
        **LATENT,
        "rope_parameters": {
            "rope_type": "yarn",
            "type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 2048,
            "llama_4_scaling_beta": 0.1,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
        },
    },
    "youtu_llm": LATENT,
}
