"""Models of 100 to 400 MB with random weights, of several families, to measure what a real server
uses. Needs mlx-lm.

In 32 bits, because MLX is slow on a CPU with anything else, and without experts. Most of the
weights are vocabulary, which costs no time."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from mlxops.demo.tinymodel import model_files

BASE = {
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "rms_norm_eps": 1e-5,
    "vocab_size": 65536,
    "rope_theta": 10000.0,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
}
MLA = {
    "kv_lora_rank": 128,
    "q_lora_rank": 192,
    "qk_rope_head_dim": 32,
    "qk_nope_head_dim": 64,
    "v_head_dim": 64,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "routed_scaling_factor": 1.0,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "norm_topk_prob": True,
    "attention_bias": False,
    "moe_intermediate_size": 512,
    "num_key_value_heads": 8,
}
EXPERTS = {
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "moe_intermediate_size": 512,
}
TYPES = ["sliding_attention", "full_attention"] * 4
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"num_key_value_heads": 8},
    "qwen3_moe": EXPERTS,
    "gemma3_text": {
        "sliding_window": 512,
        "sliding_window_pattern": 4,
        "head_dim": 256,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "query_pre_attn_scalar": 256,
    },
    "deepseek_v3": MLA,
    "gpt_oss": {
        "sliding_window": 128,
        "layer_types": TYPES,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "intermediate_size": 512,
    },
}


def write_sized(folder: Path, family: str, **changes: Any) -> Path:
    """Write a model folder of this family; `changes` replaces fields of its config."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    config = {**BASE, **FAMILIES[family], **changes, "model_type": family}
    module = importlib.import_module(f"mlx_lm.models.{family}")
    mx.random.seed(1)
    model = module.Model(module.ModelArgs.from_dict(config))
    folder.mkdir(parents=True)
    mx.save_safetensors(
        str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    for name, content in model_files().items():
        if "safetensors" not in name:
            (folder / name).write_bytes(content)
    (folder / "config.json").write_text(json.dumps(config))
    return folder
