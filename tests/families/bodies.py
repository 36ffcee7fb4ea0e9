"""Tiny models of real architectures, as mlx-lm builds them, that produce a given text, token by
token.

Every layer is zero, so that the residual stream stays the embedding, and `lm_head` holds a Markov
chain: each token determines the next one. The real server loads the family's real code. A prompt
ends with one of two marks, which select one of two answers. Needs mlx and mlx-lm."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

CALLS, TALKS = "<tiny:call>", "<tiny:talk>"
ENDS = "<tiny:end>"
PULL = 40.0

COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 8192,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "hidden_act": "silu",
}
MOE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
}
ROUTED = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.0,
    "norm_topk_prob": True,
    "n_group": 1,
    "topk_group": 1,
    "partial_rotary_factor": 0.5,
    "use_qk_norm": True,
}
MLA = {
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}
# model_type -> what its configuration needs in addition to COMMON.
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "gemma3_text": {"sliding_window_pattern": 2},
    "qwen3_moe": {**MOE, "decoder_sparse_step": 1, "mlp_only_layers": []},
    "qwen3_next": {
        **MOE,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "shared_expert_intermediate_size": 32,
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_conv_kernel_dim": 4,
        "partial_rotary_factor": 0.5,
        "full_attention_interval": 2,
    },
    "glm4_moe": {**ROUTED, "rope_scaling": None},
    "glm4_moe_lite": {**ROUTED, **MLA},
    "deepseek_v3": {**ROUTED, **MLA},
    "kimi_k2": {**ROUTED, **MLA},
    "solar_open": ROUTED,
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 128},
    "minimax_m2": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 0,
        "rotary_dim": 16,
    },
    "gemma4_text": {
        "global_head_dim": 16,
        "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 0,
        "sliding_window_pattern": 2,
        "vocab_size_per_layer_input": 0,
    },
    "nemotron_h": {
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "mamba_proj_bias": False,
        "ssm_state_size": 16,
        "conv_kernel": 4,
        "n_groups": 1,
        "mlp_bias": False,
        "layer_norm_epsilon": 1e-6,
        "use_bias": False,
        "use_conv_bias": True,
        "hybrid_override_pattern": ["M", "*"],
    },
    "step3p5": {
        "num_attention_groups": 2,
        "moe_num_experts": 4,
        "moe_top_k": 2,
        "moe_intermediate_size": 32,
        "share_expert_dim": 32,
        "moe_layers_enum": "1",
        "layer_types": ["full_attention", "sliding_attention"],
    },
}


def files(
    model_type: str, talk: Sequence[str], call: Sequence[str], template: str | None, **config: Any
) -> dict[str, bytes]:
    """Name -> content of a repository whose model answers `talk`, or `call` to a prompt that ends
    with CALLS."""
    talk = distinct(talk, [])
    call = distinct(call, talk)
    tokenizer = _tokenizer([*talk, *call])
    end = tokenizer.token_to_id(ENDS)
    shape = {
        **COMMON,
        **SHAPES[model_type],
        "model_type": model_type,
        "vocab_size": tokenizer.get_vocab_size(),
    }
    described = {**shape, "eos_token_id": end, **config}
    chains = [_chain(tokenizer, TALKS, talk), _chain(tokenizer, CALLS, call)]
    found = {
        "config.json": _json(described),
        "generation_config.json": _json({"do_sample": False, "eos_token_id": end}),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": _json(
            {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": ENDS}
        ),
        "model.safetensors": _weights(shape, chains),
    }
    return found | ({"chat_template.jinja": template.encode()} if template is not None else {})


def distinct(pieces: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Split the same text into distinct pieces, none of which is in `taken`: a duplicate is joined
    with the next piece.

    The next token depends only on the current one."""
    found: list[str] = []
    joined = ""
    for piece in pieces:
        joined += piece
        if joined not in found and joined not in taken:
            found.append(joined)
            joined = ""
    assert not joined, f"{joined!r} ends this and stands elsewhere too"
    return found


def _tokenizer(pieces: Sequence[str]) -> Tokenizer:
    """256 byte symbols and one token per piece; the marks and the end of an answer are special
    tokens."""
    vocabulary = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words = pre_tokenizers.Split(Regex(r"\s?\S+|\s+"), "isolated")
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, symbols])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(piece, normalized=False, special=False) for piece in pieces])
    tokenizer.add_special_tokens([CALLS, TALKS, ENDS])
    return tokenizer


def _chain(tokenizer: Tokenizer, begins: str, pieces: Sequence[str]) -> list[int]:
    return [tokenizer.token_to_id(token) for token in (begins, *pieces, ENDS)]


def _weights(config: Mapping[str, Any], chains: Sequence[Sequence[int]]) -> bytes:
    model_class, arguments = _get_classes(dict(config))
    model = model_class(arguments.from_dict(dict(config)))
    mx.random.seed(0)
    weights = {name: _weight(name, value) for name, value in tree_flatten(model.parameters())}
    head = next(name for name in weights if name.endswith("lm_head.weight"))
    embedded = next(weights[name] for name in weights if _embeds(name))
    weights[head] = _pulled(weights[head], embedded, chains)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        mx.save_safetensors(str(path), weights, metadata={"format": "mlx"})
        return path.read_bytes()


def _embeds(name: str) -> bool:
    return name.endswith(("embed_tokens.weight", "embeddings.weight"))


def _weight(name: str, value: mx.array) -> mx.array:
    if _embeds(name) or name.endswith("lm_head.weight"):
        return mx.random.normal(value.shape) * 0.05
    # Gemma 4 multiplies the whole residual stream by layer_scalar.
    still = ".layers." in name and not name.endswith("layer_scalar")
    return mx.zeros(value.shape) if still else mx.ones(value.shape)


def _pulled(head: mx.array, embedded: mx.array, chains: Sequence[Sequence[int]]) -> mx.array:
    """Make each token of a chain the most likely one after its predecessor."""
    for token, successor in (pair for chain in chains for pair in pairwise(chain)):
        row = embedded[token]
        head[successor] = head[successor] + PULL * row / mx.linalg.norm(row)
    return head


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
