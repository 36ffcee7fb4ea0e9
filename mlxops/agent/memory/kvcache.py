"""The memory of a context in a model's KV cache, from its config.json. Pure.

As in mlx-lm 0.31 (mlx_lm/models/cache.py, and the attention and make_cache of each family): values
of the width the model computes with, in steps of 256 tokens. An unknown family counts as the
maximum: full attention in every layer, nothing compressed. The config is untrusted: anything but a
plain number counts as absent."""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

STATE_BYTES = 4
STEP = 256
# Tokens of a prompt that are processed at a time; the cache of a window grows by these meanwhile.
CHUNK = 2048
INNER = ("text_config", "llm_config", "language_config")
# MLA stored as the compressed latent. Other families with a kv_lora_rank store whole heads
# (deepseek_v2, minicpm3).
LATENT = (
    "deepseek_v3",
    "deepseek_v32",
    "kimi_k2",
    "kimi_k25",
    "kimi_linear",
    "kimi_vl",
    "glm4_moe_lite",
    "glm_moe_dsa",
    "longcat_flash",
    "longcat_flash_ngram",
)
TWICE = ("longcat_flash", "longcat_flash_ngram")
# Layers with a sliding window, whose cache is not larger: given by `layer_types`, or all but every
# Nth layer.
BY_TYPE = (
    "afmoe",
    "exaone4",
    "exaone_moe",
    "gemma3n",
    "gemma3n_text",
    "gemma4",
    "gemma4_text",
    "gpt_oss",
    "llama",
    "ministral3",
    "olmo3",
    "step3p5",
)
BY_PATTERN = {
    "cohere2": 4,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma4": 5,
    "gemma4_text": 5,
    "gpt_oss": 2,
}
# Most layers have a state of fixed size; every Nth one stores keys and values.
LINEAR = ("qwen3_next", "qwen3_5", "qwen3_5_moe", "qwen3_5_text", "qwen3_5_moe_text")

Config = Mapping[str, Any]


class Layer(NamedTuple):
    """The cache of one layer: bytes per token, the most tokens it stores (None: all), and bytes
    that do not depend on the context."""

    token_bytes: int
    window: Optional[int] = None
    fixed_bytes: int = 0

    def holds(self, tokens: int, chunk: int) -> int:
        rows = -(-tokens // STEP) * STEP
        length = rows if self.window is None else min(rows, self.window + chunk)
        return length * self.token_bytes + self.fixed_bytes


def text_config(config: Config) -> Config:
    """The language model's part of a config.json. In a model for text and images it is nested."""
    inner: Config = next((config[key] for key in INNER if isinstance(config.get(key), dict)), {})
    return {**config, **inner, "model_type": inner.get("model_type") or config.get("model_type")}


def context_length(config: Config) -> Optional[int]:
    """The maximum context of the model in tokens; None if the config does not give it."""
    return count_of(text_config(config), "max_position_embeddings")


def value_bytes(text: Config) -> int:
    """Bytes of one value in the model's computation: 4 for float32, else 2."""
    return 4 if "float32" in (text.get("torch_dtype"), text.get("dtype")) else 2


def layers(config: Config) -> Optional[Tuple[Layer, ...]]:
    """The layers that have a cache; None if the config lacks the sizes."""
    text = text_config(config)
    count, family = count_of(text, "num_hidden_layers"), str(text.get("model_type"))
    width = _width(text, family)
    if count is None or count > 10_000 or width is None:
        return None
    if family in LINEAR:
        return _linear(text, count, width)
    shared = (
        count_of(text, "num_kv_shared_layers") if family.startswith(("gemma3n", "gemma4")) else None
    )
    spans = _windows(text, family, count)[: max(1, count - (shared or 0))]
    return tuple(_layer(text, family, width, window) for window in spans)


def size_bytes(config: Config, tokens: int, chunk: int = CHUNK) -> Optional[int]:
    """Bytes that a context of that many tokens takes; None if unknown."""
    found = layers(config)
    return None if found is None else sum(layer.holds(tokens, chunk) for layer in found)


def _layer(text: Config, family: str, width: int, window: Optional[int]) -> Layer:
    if family.startswith("gemma4") and window is None:
        # Its full-attention layers have another number and size of heads.
        heads = (
            count_of(text, "num_global_key_value_heads") if text.get("attention_k_eq_v") else None
        )
        size = count_of(text, "global_head_dim") or head_size(text)
        return Layer(2 * value_bytes(text) * (heads or _kv_heads(text) or 0) * (size or 0))
    return Layer(width, window)


def _width(text: Config, family: str) -> Optional[int]:
    """Bytes per token of one full-attention layer."""
    rank, rope = count_of(text, "kv_lora_rank"), count_of(text, "qk_rope_head_dim")
    if rank and rope and family in LATENT:
        latent = rank + rope + (count_of(text, "index_head_dim") or 0)
        return value_bytes(text) * latent * (2 if family in TWICE else 1)
    if rank and rope:
        heads, plain, value = (
            count_of(text, k) for k in ("num_attention_heads", "qk_nope_head_dim", "v_head_dim")
        )
        return value_bytes(text) * heads * ((plain or 0) + rope + (value or 0)) if heads else None
    heads, size = _kv_heads(text), head_size(text)
    return 2 * value_bytes(text) * heads * size if heads and size else None


def _kv_heads(text: Config) -> Optional[int]:
    names = ("num_key_value_heads", "num_attention_groups", "num_attention_heads")
    return next((count for count in (count_of(text, name) for name in names) if count), None)


def head_size(text: Config) -> Optional[int]:
    """The size of one attention head, in values."""
    hidden, heads = count_of(text, "hidden_size"), count_of(text, "num_attention_heads")
    return count_of(text, "head_dim") or (hidden // heads if hidden and heads else None)


def _windows(text: Config, family: str, count: int) -> List[Optional[int]]:
    """Per layer the number of tokens it stores, None for all."""
    window, kinds = count_of(text, "sliding_window"), text.get("layer_types")
    if window and family in BY_TYPE and isinstance(kinds, list) and len(kinds) == count:
        return [window if kind == "sliding_attention" else None for kind in kinds]
    every = count_of(text, "sliding_window_pattern") or BY_PATTERN.get(family)
    if window and family in BY_PATTERN and every:
        return [None if n % every == every - 1 else window for n in range(count)]
    return [None] * count


def _linear(text: Config, count: int, width: int) -> Tuple[Layer, ...]:
    every = count_of(text, "full_attention_interval") or 4
    state = Layer(0, 0, _state_bytes(text))
    return tuple(Layer(width) if (n + 1) % every == 0 else state for n in range(count))


def _state_bytes(text: Config) -> int:
    """The state of a gated delta layer: a matrix per value head, and the last columns of its
    convolution."""
    names = (
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_key_head_dim",
        "linear_value_head_dim",
    )
    keys, values, key_size, value_size = (count_of(text, name) or 0 for name in names)
    conv_length = (count_of(text, "linear_conv_kernel_dim") or 4) - 1
    return STATE_BYTES * (
        values * key_size * value_size + conv_length * (2 * keys * key_size + values * value_size)
    )


def count_of(text: Config, key: str) -> Optional[int]:
    """A positive integer of the config; None for anything else."""
    value = text.get(key)
    return value if type(value) is int and 0 < value < 1 << 40 else None
