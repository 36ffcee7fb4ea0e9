"""config.json of public models, and snapshots with weights that take no disk space."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tests.support.studio import Studio

_BLOCK = {"replace_with_linear": False, "no_op": False}
_ATTENDS = {"attention": {**_BLOCK, "n_heads_in_group": 8}, "ffn": {**_BLOCK, "ffn_mult": 2.625}}
_SKIPS = {
    "attention": {**_BLOCK, "n_heads_in_group": None, "no_op": True},
    "ffn": {**_BLOCK, "ffn_mult": 1.3125},
}
# nvidia/Llama-3_3-Nemotron-Super-49B-v1: 49 of 80 layers attend, with 8 KV heads.
NEMOTRON_SUPER: dict[str, Any] = {
    "architectures": ["DeciLMForCausalLM"],
    "model_type": "nemotron-nas",
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "num_key_value_heads": None,
    "intermediate_size": None,
    "num_hidden_layers": 80,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "quantization": {"group_size": 64, "bits": 4},
    "block_configs": [_ATTENDS] * 49 + [_SKIPS] * 31,
}
NEMOTRON_SUPER_BYTES = 27_000_000_000
# Keys and values x layers x KV heads x head size x 2 bytes.
NEMOTRON_SUPER_TOKEN_BYTES = 2 * 49 * 8 * 128 * 2
LLAMA_1B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "rms_norm_eps": 1e-5,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
LLAMA_1B_TOKEN_BYTES = 2 * 16 * 8 * 64 * 2


def add_shape(studio: Studio, repo_id: str, config: dict[str, Any], size: int) -> Path:
    """A snapshot of this shape in the studio's cache, with sparse weights of that size."""
    described = json.dumps(config).encode()
    path = studio.add(repo_id, {"config.json": described, "tokenizer.json": b"{}"})
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "mlx"}, "weights": tensor}).encode()
    with open(path / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)
        f.truncate(8 + len(header) + size)
    return path
