"""Estimate the memory of a model that serves: weights, KV cache of one context, runtime overhead.
Pure.

docs/memory.md explains the constants; tests/bench/memory.py compares the estimate with real
servers."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Tuple

from ..wire.values import MAX_CONTEXT
from .arguments import Settings
from .config import context_length, count_of, head_size, text_config, value_bytes
from .kvcache import CountedCache, quantized_bytes

MIB = 1 << 20
# Longer than most prompts of an agent with tools. Counted if the context is not limited.
USUAL_CONTEXT = 32_768
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
    cache: CountedCache
    settings: Settings = Settings()


class ExtraModel(NamedTuple):
    """A model, or an adapter, that the same server loads beside its main model. `option`: names it
    in the `args`; `cache` None: it has none."""

    option: str
    name: str
    weights_bytes: int
    config: Mapping[str, Any] = {}
    cache: Optional[CountedCache] = None


class Estimate(NamedTuple):
    """`kv_bytes` and `context_tokens` None: the sizes are unknown, and the overhead includes both.
    `kv_source`: where the figure is from. `second_bytes`: weights and KV caches of what is loaded
    beside it, `second_models` line by line. `kept_bytes`: prompts that its `args` let it keep."""

    weights_bytes: int
    kv_bytes: Optional[int]
    overhead_bytes: int
    context_tokens: Optional[int]
    kv_source: str = ""
    second_bytes: int = 0
    second_models: Tuple[Mapping[str, Any], ...] = ()
    kept_bytes: int = 0

    @property
    def need_bytes(self) -> int:
        parts = (self.kv_bytes or 0, self.overhead_bytes, self.second_bytes, self.kept_bytes)
        return self.weights_bytes + sum(parts)


def estimate(model: Model, tokens: int, beside: Tuple[ExtraModel, ...] = ()) -> Estimate:
    """The memory it takes with one context of that many tokens."""
    weights, settings = model.weights_bytes * _growth(model.config), model.settings
    lines = tuple(_second(extra, settings, tokens) for extra in beside)
    second = sum(line["bytes"] for line in lines)
    kv, prefill = _kv_bytes(model.cache, model.config, settings, tokens), _prefill(model, tokens)
    if kv is None or kv + prefill > ABSURD_BYTES:
        overhead = int(weights * (HEADROOM - 1)) + HEADROOM_BYTES
        found = Estimate(weights, None, overhead, None)
        return found._replace(
            kv_source=model.cache.source, second_bytes=second, second_models=lines
        )
    idle = IDLE_BYTES.get(model.runtime, MAX_IDLE_BYTES)
    context = kv + sum(line["kv_bytes"] or 0 for line in lines)
    kept = min(settings.prompts_bytes or 0, settings.prompts * context)
    overhead = idle + int(weights * SLACK) + prefill
    return Estimate(
        weights_bytes=weights,
        kv_bytes=kv,
        overhead_bytes=overhead,
        context_tokens=tokens,
        kv_source=model.cache.source,
        second_bytes=second,
        second_models=lines,
        kept_bytes=kept,
    )


def _kv_bytes(
    cache: CountedCache, config: Mapping[str, Any], settings: Settings, tokens: int
) -> Optional[int]:
    width = value_bytes(text_config(config))
    return cache.shape and quantized_bytes(cache.shape, settings, tokens, width)


def _second(extra: ExtraModel, settings: Settings, tokens: int) -> Mapping[str, Any]:
    """The line of what is loaded beside a model."""
    weights = int(extra.weights_bytes * _growth(extra.config) * (1 + SLACK))
    kv = _kv_bytes(extra.cache, extra.config, settings, tokens) if extra.cache else 0
    if kv is None or kv > ABSURD_BYTES:
        kv, weights = None, int(weights * HEADROOM)
    return {
        "option": extra.option,
        "name": extra.name,
        "weights_bytes": weights,
        "kv_bytes": kv,
        "kv_source": extra.cache.source if extra.cache else "",
        "bytes": weights + (kv or 0),
    }


def largest_context(model: Model, room: int, beside: Tuple[ExtraModel, ...] = ()) -> Optional[int]:
    """The longest context that fits into `room` bytes, at most the model's own; None if unknown."""
    low, high = 0, min(context_length(model.config) or USUAL_CONTEXT, MAX_CONTEXT)
    if estimate(model, high).kv_bytes is None:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(model, middle, beside).need_bytes <= room:
            low = middle
        else:
            high = middle - 1
    return low


def context_tokens(
    config: Mapping[str, Any], settings: Settings, asked: Optional[int], runtime: str = ""
) -> Tuple[int, str]:
    """The number of tokens to count, and why."""
    own = context_length(config)
    if asked:
        return asked, "as requested"
    if settings.context_tokens:
        return settings.context_tokens, "--context-length of the entry"
    if own and own <= USUAL_CONTEXT:
        return own, "the model's maximum context"
    unset = ", as --context-length is not set" if runtime == "mlx-openai-server" else ""
    return USUAL_CONTEXT, "assumed%s (model maximum: %s)" % (unset, own or "unknown")


def _growth(config: Mapping[str, Any]) -> int:
    """The factor by which weights grow in memory: mlx-lm converts fp8 weights to 16 bits."""
    made = text_config(config).get("quantization_config")
    return (
        2
        if isinstance(made, dict)
        and made.get("quant_method") == "fp8"
        and "quantization" not in config
        else 1
    )


def _prefill(model: Model, tokens: int) -> int:
    """The memory of one layer while it processes a chunk of the prompt."""
    text = text_config(model.config)
    width, chunk = value_bytes(text), min(model.settings.chunk, tokens)
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
    # Attention over a quantized cache is not fused (mlx_lm/models/base.py).
    fused = model.fused and not latent and not model.settings.kv_bits
    if fused and head_size(text) in FUSED_HEADS:
        return 0
    return SCORE_COPIES * (count_of(text, "num_attention_heads") or 0)
