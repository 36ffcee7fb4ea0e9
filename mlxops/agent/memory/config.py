"""Sizes in a model's config.json. Pure. The config is untrusted: anything but a plain number counts
as absent."""

from __future__ import annotations

from typing import Any, Mapping, Optional

INNER = ("text_config", "llm_config", "language_config")

Config = Mapping[str, Any]


def text_config(config: Config) -> Config:
    """The language model's part of a config.json. In a model for text and images it is nested."""
    inner: Config = next((config[key] for key in INNER if isinstance(config.get(key), dict)), {})
    return {**config, **inner}


def context_length(config: Config) -> Optional[int]:
    """The maximum context of the model in tokens; None if the config does not give it."""
    return count_of(text_config(config), "max_position_embeddings")


def value_bytes(text: Config) -> int:
    """Bytes of one value in the model's computation: 4 for float32, else 2."""
    return 4 if "float32" in (text.get("torch_dtype"), text.get("dtype")) else 2


def head_size(text: Config) -> Optional[int]:
    """The size of one attention head, in values."""
    hidden, heads = count_of(text, "hidden_size"), count_of(text, "num_attention_heads")
    return count_of(text, "head_dim") or (hidden // heads if hidden and heads else None)


def count_of(text: Config, key: str) -> Optional[int]:
    """A positive integer of the config; None for anything else."""
    value = text.get(key)
    return value if is_count(value) else None


def is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 40
