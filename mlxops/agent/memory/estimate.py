"""Estimate the memory of a model that serves: weights, KV cache of one context, runtime overhead.
Pure.

docs/memory.md explains the constants; tests/bench/memory.py compares the estimate with real
servers."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..wire.values import MAX_CONTEXT
from . import kvcache
from .kvcache import CHUNK, count_of

MIB = 1 << 20
# Longer than most prompts of an agent with tools. Counted if the context is not limited.
USUAL_CONTEXT = 32_768
CONTEXT_FLAGS = ("--context-length", "--max-model-len")
# A server without weights: all its processes, idle with a model of 0.2 MB.
IDLE_BYTES = {"mlx_lm.server": 384 * MIB, "mlx-openai-server": 576 * MIB}
MAX_IDLE_BYTES = 1024 * MIB
# Allocators round up, and a quantized tensor is loaded beside its scales.
SLACK = 0.02
# Values per token of a chunk that are live at once in a layer: of its hidden and its inner width.
HIDDEN_COPIES, INNER_COPIES = 8, 4
# Head sizes of the Metal kernels that do not store attention scores
# (mlx/backend/metal/scaled_dot_product_attention.cpp).
FUSED_HEADS = (64, 80, 128)
SCORE_COPIES = 3
# Without a usable config: the largest overhead that was measured, relative to the weights.
HEADROOM, HEADROOM_BYTES = 1.1, 1 << 30
# More than any machine has: the config is wrong.
ABSURD_BYTES = 1 << 60


class Model(NamedTuple):
    """A model before its start. `fused`: attention runs on Metal."""

    weights_bytes: int
    config: Mapping[str, Any]
    runtime: str
    fused: bool


class Estimate(NamedTuple):
    """`kv_bytes` and `context_tokens` None: the config gives no sizes, and the overhead includes
    both. `second_bytes`: weights and KV cache of the models that are loaded beside it."""

    weights_bytes: int
    kv_bytes: Optional[int]
    overhead_bytes: int
    context_tokens: Optional[int]
    second_bytes: int = 0

    @property
    def need_bytes(self) -> int:
        return self.weights_bytes + (self.kv_bytes or 0) + self.overhead_bytes + self.second_bytes


def estimate(model: Model, tokens: int) -> Estimate:
    """The memory it takes with one context of that many tokens."""
    weights = model.weights_bytes * _growth(model.config)
    kv, prefill = kvcache.size_bytes(model.config, tokens), _prefill(model, tokens)
    if kv is None or kv + prefill > ABSURD_BYTES:
        return Estimate(weights, None, int(weights * (HEADROOM - 1)) + HEADROOM_BYTES, None)
    idle = IDLE_BYTES.get(model.runtime, MAX_IDLE_BYTES)
    return Estimate(weights, kv, idle + int(weights * SLACK) + prefill, tokens)


def second_bytes(weights_bytes: int, config: Mapping[str, Any], tokens: int) -> int:
    """The memory of a model that is loaded beside another: its weights and its own KV cache."""
    kv = kvcache.size_bytes(config, tokens) or 0
    return int(weights_bytes * _growth(config) * (1 + SLACK)) + (kv if kv <= ABSURD_BYTES else 0)


def largest_context(model: Model, room: int) -> Optional[int]:
    """The longest context that fits into `room` bytes, at most the model's own; None if unknown."""
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
    config: Mapping[str, Any], args: Sequence[str], asked: Optional[int], runtime: str = ""
) -> Tuple[int, str]:
    """The number of tokens to count, and why."""
    own, bound = kvcache.context_length(config), _bound(args)
    if asked:
        return asked, "as requested"
    if bound:
        return bound, "--context-length of the entry"
    if own and own <= USUAL_CONTEXT:
        return own, "the model's maximum context"
    unset = ", as --context-length is not set" if runtime == "mlx-openai-server" else ""
    return USUAL_CONTEXT, "assumed%s (model maximum: %s)" % (unset, own or "unknown")


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
    """The factor by which weights grow in memory: mlx-lm converts fp8 weights to 16 bits."""
    made = kvcache.text_config(config).get("quantization_config")
    return (
        2
        if isinstance(made, dict)
        and made.get("quant_method") == "fp8"
        and "quantization" not in config
        else 1
    )


def _prefill(model: Model, tokens: int) -> int:
    """The memory of one layer while it processes a chunk of the prompt."""
    text = kvcache.text_config(model.config)
    width, chunk = kvcache.value_bytes(text), min(CHUNK, tokens)
    values = HIDDEN_COPIES * (count_of(text, "hidden_size") or 0) + INNER_COPIES * _inner(text)
    return width * chunk * (values + _scores(model, text) * tokens)


def _inner(text: Mapping[str, Any]) -> int:
    """The largest inner width of a layer: of its dense part, or of all experts of a token
    together."""
    experts = count_of(text, "num_experts_per_tok") or 1
    routed = experts * (count_of(text, "moe_intermediate_size") or 0)
    return max(routed, count_of(text, "intermediate_size") or 0)


def _scores(model: Model, text: Mapping[str, Any]) -> int:
    """Attention scores that are stored per token of the chunk and token of the context."""
    latent = count_of(text, "kv_lora_rank") is not None
    if model.fused and not latent and kvcache.head_size(text) in FUSED_HEADS:
        return 0
    return SCORE_COPIES * (count_of(text, "num_attention_heads") or 0)
