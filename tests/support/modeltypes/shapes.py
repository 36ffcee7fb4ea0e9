"""Model type -> a small config.json with every kind of layer that the family has.

Windows and chunks are shorter than the contexts that the tests fill, so that the kinds of cache
differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import attending, latent, nested, recurrent

Config = dict[str, Any]

# Families whose config.json says these sizes in words of its own, or has no heads for keys.
OWN_WORDS = (
    *("afm7", "dbrx", "gpt2", "gpt_bigcode", "gptj", "lille-130m", "openelm", "phi-msft"),
    "phixtral",
)
ONE_HEAD_COUNT = (
    *("falcon_mamba", "gpt_neox", "mamba", "mamba2", "plamo", "qwen", "rwkv7", "talkie"),
)

PLAIN = {**attending.SHAPES, **latent.SHAPES, **recurrent.SHAPES}
# What nearly every config.json has.
COMMON: Mapping[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "vocab_size": 64,
    "max_position_embeddings": 8192,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
}


def config(model_type: str) -> Config:
    """The config.json of a type; its text model may be nested, as the family's is."""
    if model_type in nested.INNER:
        return nested.config(model_type, _plain)
    return _plain(model_type)


def _plain(model_type: str) -> Config:
    own = PLAIN[model_type]
    common = {} if model_type in OWN_WORDS else dict(COMMON)
    if model_type in ONE_HEAD_COUNT:
        del common["num_key_value_heads"]
    return {"vocab_size": 64, **common, **own, "model_type": own.get("model_type", model_type)}


TYPES: tuple[str, ...] = tuple(sorted({*PLAIN, *nested.INNER}))
