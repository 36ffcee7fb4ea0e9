"""The estimate of `fit` for large public models, from recorded metadata, compared with the same sum
by hand. Each fixture names the source of its config and size; `kv` is the arithmetic of its KV
cache as factors, taken from the model's description and not from the code under test."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.loader.description import CHUNK, CacheLayer, CacheShape
from mlxops.agent.memory.arguments import Settings
from mlxops.agent.memory.config import context_length
from mlxops.agent.memory.estimate import (
    Model,
    context_tokens,
    estimate,
    largest_context,
)
from mlxops.agent.memory.kvcache import CountedCache, upper_bound

FOLDER = Path(__file__).parents[2] / "fixtures" / "models"
MODELS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
# What the GPU of the Studio may wire: the whole room, as long as nothing else runs there.
WIRED_LIMIT = 241_644 << 20
FITS = (
    "DeepSeek-V3.1-4bit no",
    "DeepSeek-V3.2-4bit no",
    "DeepSeek-R1 no",
    "GLM-4.7-6bit no",
    "GLM-4.7-Flash-8bit yes",
    "GLM-5.1-MLX-2.9bit no",
    "GLM-5.1-MLX-4.5bit no",
    "Kimi-K2-Instruct-4bit no",
    "Llama-3.3-70B-Instruct-8bit yes",
    "llama-3.3-70b-instruct-fp16 yes",
    "Meta-Llama-3.1-405B-4bit yes",
    "MiniMax-M2.5-6bit yes",
    "MiniMax-M2.5-8bit no",
    "Mixtral-8x22B-Instruct-v0.1-8bit yes",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-MLX-BF16 yes",
    "Qwen3-235B-A22B-Instruct-2507-4bit yes",
    "Qwen3-235B-A22B-Instruct-2507-6bit yes",
    "Qwen3-235B-A22B-Instruct-2507-8bit no",
    "Qwen3-Coder-480B-A35B-Instruct-4bit no",
    "Qwen3-Next-80B-A3B-Thinking-8bit yes",
    "Qwen3.5-122B-A10B-8bit yes",
    "Qwen3.5-397B-A17B-4bit yes",
    "gemma-4-26b-a4b-it-bf16 yes",
    "gemma-4-31b-it-8bit yes",
    "gpt-oss-120b-MXFP4-Q8 yes",
    "gpt-oss-20b-MXFP4-Q8 yes",
)


def model(name: str) -> Model:
    return Model(
        weights_bytes=MODELS[name]["weights_bytes"],
        config=MODELS[name]["config"],
        runtime="mlx-openai-server",
        fused=True,
        cache=CountedCache(shape_by_hand(name), "by hand"),
    )


def shape_by_hand(name: str) -> CacheShape:
    kv = MODELS[name]["kv"]
    growing = [CacheLayer(math.prod(one), 256) for one in kv["per_token"]]
    windows = [CacheLayer(math.prod(w["factors"]), 256, w["tokens"]) for w in kv["windowed"]]
    fixed = [CacheLayer(0, 1, None, math.prod(one)) for one in kv["fixed"]]
    return CacheShape((*growing, *windows, *fixed))


def by_hand(name: str, tokens: int) -> int:
    """A number of tokens that is a multiple of the cache's step and longer than any window."""
    kv = MODELS[name]["kv"]
    growing = sum(map(math.prod, kv["per_token"]))
    windows = sum(math.prod(one["factors"]) * (one["tokens"] + CHUNK) for one in kv["windowed"])
    return growing * tokens + windows + sum(map(math.prod, kv["fixed"]))


def test_there_are_at_least_twenty_and_each_says_where_it_comes_from() -> None:
    assert len(MODELS) >= 20 and {line.split()[0] for line in FITS} == MODELS.keys()
    for found in MODELS.values():
        assert found["config_from"].startswith("github:")
        assert found["weights_from"].startswith(("github:", "https://", "computed: ")), found[
            "weights_from"
        ]


@pytest.mark.parametrize("name", MODELS)
def test_without_a_loader_to_ask_no_less_is_counted(name: str) -> None:
    shape = upper_bound(MODELS[name]["config"])
    assert shape is not None
    for tokens in (8192, 1 << 17):
        assert shape.bytes(tokens) >= by_hand(name, tokens)


@pytest.mark.parametrize("name", [name for name, found in MODELS.items() if "published" in found])
def test_a_token_takes_what_others_publish(name: str) -> None:
    assert (
        sum(map(math.prod, MODELS[name]["kv"]["per_token"])) == MODELS[name]["published"]["bytes"]
    )


@pytest.mark.parametrize("line", FITS)
def test_a_mac_of_256_gb_holds_it_or_not(line: str) -> None:
    name, verdict = line.split()
    tokens, _ = context_tokens(MODELS[name]["config"], Settings(), None)
    sums = estimate(model(name), tokens)
    assert (sums.need_bytes <= WIRED_LIMIT) == (verdict == "yes")
    # Never on the unsafe side of the bare sum, and never more than 5 % and 4 GiB beyond it, scores
    # of attention apart.
    bare = sums.weights_bytes + by_hand(name, tokens)
    assert bare < sums.need_bytes
    if verdict == "no" and sums.weights_bytes == MODELS[name]["weights_bytes"]:
        assert bare * 1.05 + (4 << 30) > WIRED_LIMIT


@pytest.mark.parametrize("name", MODELS)
def test_the_longest_context_is_the_last_that_fits(name: str) -> None:
    longest = largest_context(model(name), WIRED_LIMIT)
    assert longest is not None
    own = context_length(MODELS[name]["config"]) or 0
    assert longest == 0 or estimate(model(name), longest).need_bytes <= WIRED_LIMIT
    assert longest == own or estimate(model(name), longest + 1).need_bytes > WIRED_LIMIT


@pytest.mark.parametrize("name", [name for name, found in MODELS.items() if "measured" in found])
def test_what_was_measured_on_a_mac_stays_below_the_estimate_and_near_it(name: str) -> None:
    measured = MODELS[name]["measured"]
    need = estimate(model(name), measured["tokens"]).need_bytes
    assert measured["peak_bytes"] <= need <= 1.05 * measured["peak_bytes"]


def test_only_a_runtime_that_has_the_option_is_told_about_it() -> None:
    _, plain = context_tokens({}, Settings(), None, "mlx_lm.server")
    _, bound = context_tokens({}, Settings(), None, "mlx-openai-server")
    assert "--context-length" in bound and "--" not in plain
