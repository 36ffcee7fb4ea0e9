"""The memory a model takes while it serves: weights, KV cache of a context, and what the runtime
needs. Pure.

Where each constant comes from is in docs/memory.md; tests/bench/memory.py holds the sum against
real servers."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..wire.values import MAX_CONTEXT
from . import kvcache
from .kvcache import CHUNK, count_of

MIB = 1 << 20
# As long as most prompts of an agent with tools, and what is counted where nothing bounds the
# context.
USUAL_CONTEXT = 32_768
CONTEXT_FLAGS = ("--context-length", "--max-model-len")
# What a server holds before its weights: all its processes at idle with a model of 0.2 MB.
IDLE_BYTES = {"mlx_lm.server": 384 * MIB, "mlx-openai-server": 576 * MIB}
MAX_IDLE_BYTES = 1024 * MIB
# Allocators round up, and a quantized tensor is loaded beside its scales.
SLACK = 0.02
# Live at once in a layer, in values per token of a chunk: of its hidden and of its inner width.
HIDDEN_COPIES, INNER_COPIES = 8, 4
# Scores of attention where no kernel of Metal does without them
# (mlx/backend/metal/scaled_dot_product_attention.cpp).
FUSED_HEADS = (64, 80, 128)
SCORE_COPIES = 3
# Without a usable config: as much again as weights have been seen to need.
HEADROOM, HEADROOM_BYTES = 1.1, 1 << 30
# Beyond any machine: a figure that a stranger made up.
ABSURD_BYTES = 1 << 60


class Model(NamedTuple):
    """What is known of a model before it is started. `fused`: attention runs on Metal."""

    weights_bytes: int
    config: Mapping[str, Any]
    runtime: str
    fused: bool


class Estimate(NamedTuple):
    """`kv_bytes` and `context_tokens` None: the config tells nothing usable, the overhead stands
    for both. `second_bytes`: weights and KV cache of the models that are loaded beside it."""

    weights_bytes: int
    kv_bytes: Optional[int]
    overhead_bytes: int
    context_tokens: Optional[int]
    second_bytes: int = 0

    @property
    def need_bytes(self) -> int:
        return self.weights_bytes + (self.kv_bytes or 0) + self.overhead_bytes + self.second_bytes


def estimate(model: Model, tokens: int) -> Estimate:
    """What serving it takes with one context of so many tokens."""
    weights = model.weights_bytes * _growth(model.config)
    kv, prefill = kvcache.size_bytes(model.config, tokens), _prefill(model, tokens)
    if kv is None or kv + prefill > ABSURD_BYTES:
        return Estimate(weights, None, int(weights * (HEADROOM - 1)) + HEADROOM_BYTES, None)
    idle = IDLE_BYTES.get(model.runtime, MAX_IDLE_BYTES)
    return Estimate(weights, kv, idle + int(weights * SLACK) + prefill, tokens)


def second_bytes(weights_bytes: int, config: Mapping[str, Any], tokens: int) -> int:
    """What a model that is loaded beside another takes: its weights and its own KV cache."""
    kv = kvcache.size_bytes(config, tokens) or 0
    return int(weights_bytes * _growth(config) * (1 + SLACK)) + (kv if kv <= ABSURD_BYTES else 0)


def largest_context(model: Model, room: int) -> Optional[int]:
    """The longest context that fits into `room` bytes, no longer than the model's own; None where
    it cannot be told."""
    low, high = 0, min(kvcache.context_length(model.config) or USUAL_CONTEXT, MAX_CONTEXT)
    if estimate(model, high).kv_bytes is None:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(model, middle).need_bytes <= room:
            low = middle
        else:
            high = middle - 1
    return low


def context_tokens(
    config: Mapping[str, Any], args: Sequence[str], asked: Optional[int]
) -> Tuple[int, str]:
    """Tokens to count with, and why."""
    own, bound = kvcache.context_length(config), _bound(args)
    if asked:
        return asked, "as asked"
    if bound:
        return bound, "its --context-length"
    if own and own <= USUAL_CONTEXT:
        return own, "all the model was made for"
    return USUAL_CONTEXT, "nothing bounds it; the model was made for %s" % (
        own or "an unknown length"
    )


def _bound(args: Sequence[str]) -> Optional[int]:
    for word, after in zip(args, [*args[1:], ""]):
        name, _, value = word.partition("=")
        value = value or after
        if (
            name in CONTEXT_FLAGS
            and value.isascii()
            and value.isdigit()
            and 0 < int(value[:9]) <= MAX_CONTEXT
        ):
            return int(value[:9])
    return None


def _growth(config: Mapping[str, Any]) -> int:
    """mlx-lm computes with 16 bits where a repository keeps 8-bit floats of another make."""
    made = kvcache.text_config(config).get("quantization_config")
    return (
        2
        if isinstance(made, dict)
        and made.get("quant_method") == "fp8"
        and "quantization" not in config
        else 1
    )


def _prefill(model: Model, tokens: int) -> int:
    """What the layer under way holds while a chunk of the prompt is taken in."""
    text = kvcache.text_config(model.config)
    width, chunk = kvcache.value_bytes(text), min(CHUNK, tokens)
    values = HIDDEN_COPIES * (count_of(text, "hidden_size") or 0) + INNER_COPIES * _inner(text)
    return width * chunk * (values + _scores(model, text) * tokens)


def _inner(text: Mapping[str, Any]) -> int:
    """The widest a token becomes inside a layer: of its dense part, or of all the experts it is
    sent to."""
    experts = count_of(text, "num_experts_per_tok") or 1
    routed = experts * (count_of(text, "moe_intermediate_size") or 0)
    return max(routed, count_of(text, "intermediate_size") or 0)


def _scores(model: Model, text: Mapping[str, Any]) -> int:
    """Values that attention keeps per token of the chunk and token of the context."""
    latent = count_of(text, "kv_lora_rank") is not None
    if model.fused and not latent and kvcache.head_size(text) in FUSED_HEADS:
        return 0
    return SCORE_COPIES * (count_of(text, "num_attention_heads") or 0)
