"""The memory of a context in a model's KV cache: as its loader says, else the most it can be. Pure.

The most: full attention in every layer, nothing compressed, and room for an indexer and for states
of fixed size. What a number means follows from its name, whatever the family. Real figures are up
to a hundred times smaller."""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple, Optional, Tuple

from ..loader.description import CacheLayer, CacheShape, Description
from .arguments import Settings
from .config import Config, is_count, text_config, value_bytes

STEP = 256
MAX_LAYERS = 10_000
# Other parts of a model have no KV cache.
_OTHER_PARTS = re.compile(r"vision|audio|speech|image|video|projector|talker|code2wav")
_LAYERS = re.compile(r"num_hidden_layers|n_layers?|num_layers|num_transformer_layers")
_LOOPS = re.compile(r"num_loops|loop_num")
_WIDTH = re.compile(r"hidden_size|n_embd|d_model|model_dim|hidden_dim|lru_width")
_HEADS = re.compile(r".*heads?(_per_layer)?|n_heads.*")
_KEY_HEADS = re.compile(r".*(key_value|kv_?n?)_heads|num_attention_groups")
_HEAD_SIZE = re.compile(r".*(head_dim|head_size|d_head|hidden_size_per_head)")
_STATE_SIZE = re.compile(r".*(state_size|d_state)")
_INNER = re.compile(r".*(intermediate_size|d_ssm)")
_KERNEL = re.compile(
    r".*(conv|kernel).*(dim|size|width|kernel|cache|window)|conv_kernel|mamba_d_conv"
)
_INDEXER = re.compile(r"index_head_dim|sparse_index_dim")
_LATENT = re.compile(r"kv_lora_rank|qk_rope_head_dim")
_EXPANDED = re.compile(r"qk_nope_head_dim|qk_rope_head_dim|v_head_dim")


class CountedCache(NamedTuple):
    """The shape of a KV cache, None if unknown, and where it comes from."""

    shape: Optional[CacheShape]
    source: str


def count_cache(
    config: Config, description: Optional[Description] = None, reason: str = ""
) -> CountedCache:
    """The cache that a loader has described; else the most it can be by the config.

    `reason`: why there is no description."""
    if description is not None and description.cache is not None:
        return CountedCache(description.cache, "asked %s" % description.program)
    said = description and (description.refusal or description.failure)
    why = said or reason or "no mlx-lm here to ask"
    return CountedCache(
        upper_bound(config), "counted from config.json alone, the most it can be: %s" % why
    )


def upper_bound(config: Config) -> Optional[CacheShape]:
    """The largest cache that any family makes of these sizes; None if the config lacks them."""
    numbers = tuple(_numbers(text_config(config)))
    layers = _most(numbers, _LAYERS) * max(1, _most(numbers, _LOOPS))
    width = _most(numbers, _WIDTH)
    all_heads, sizes = _most(numbers, _HEADS), _most(numbers, _HEAD_SIZE)
    if not (0 < layers <= MAX_LAYERS and (width or (all_heads and sizes))):
        return None
    heads = all_heads or 1
    size = max(sizes, -(-width // heads))
    values = 2 * (_most(numbers, _KEY_HEADS) or heads) * size
    if any(_LATENT.fullmatch(name) for name, _ in numbers):
        values = max(values, heads * _total(numbers, _EXPANDED), 2 * _total(numbers, _LATENT))
    values += 2 * _most(numbers, _INDEXER)
    # A state-space layer is wider than the model, and its state has a size of its own.
    spaces = _most(numbers, _STATE_SIZE)
    inner = max(heads * size, width, *((2 * width, _most(numbers, _INNER)) if spaces else ()))
    state = max(size, spaces) + 3 * max(4, _most(numbers, _KERNEL))
    each = value_bytes(text_config(config)) * values
    # A cache may begin its last step in the middle of another one.
    fixed = 4 * inner * state + STEP * each
    return CacheShape((CacheLayer(each, STEP, fixed_bytes=fixed, copies=layers),))


def quantized_bytes(shape: CacheShape, settings: Settings, tokens: int, width: int) -> int:
    """The bytes of a context with these settings. `width`: bytes of a value that is not quantized.

    The first tokens are stored in full, and quantized after the chunk that exceeds the setting."""
    full = shape.bytes(tokens, settings.chunk)
    if not settings.kv_bits or not shape.layers:
        return full
    # Each group of values has a scale and a bias.
    ratio = (settings.kv_bits / 8 + 2 * width / settings.kv_group) / width
    whole = shape.bytes(min(tokens, settings.quantized_after + settings.chunk), settings.chunk)
    packed = sum(
        layer.bytes(tokens, settings.chunk) * (ratio if layer.quantizes else 1)
        for layer in shape.layers
    )
    return min(full, max(whole, int(packed)))


Numbers = Tuple[Tuple[str, int], ...]


def _numbers(part: Config, depth: int = 0) -> Iterator[Tuple[str, int]]:
    """Every count of the config with its name, those of lists and inner tables too."""
    for name, value in part.items():
        if _OTHER_PARTS.search(name):
            continue
        values = value if isinstance(value, list) else [value]
        for one in values:
            if is_count(one):
                yield name, one
            elif isinstance(one, dict) and depth < 4:
                yield from _numbers(one, depth + 1)


def _most(numbers: Numbers, name: re.Pattern[str]) -> int:
    """The largest number with such a name; 0 if there is none."""
    return max((count for key, count in numbers if name.fullmatch(key)), default=0)


def _total(numbers: Numbers, name: re.Pattern[str]) -> int:
    """The sum of the numbers with such names, each name once."""
    return sum({key: count for key, count in numbers if name.fullmatch(key)}.values())
