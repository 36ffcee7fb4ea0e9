"""The loader's child knows the prompt cache of every model type that mlx-lm builds, to the byte."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

import mlx_lm.models
import pytest
from mlx_lm.utils import MODEL_REMAPPING

from tests.support.modeltypes import page, shapes
from tests.support.modeltypes.figures import CASES, CHUNK, Asked, Filled, ask, fill

# One of every kind of cache: plain, with windows, chunks, a latent, an indexer, states, compressed
# streams, nested, shared by layers, more than one per layer, remapped.
CHOSEN = (
    *("deepseek_v32", "deepseek_v41", "falcon_h1", "gemma4_unified", "gpt_oss", "joyai_llm_flash"),
    *("jamba", "llama", "llama4", "longcat_flash", "minimax_m3_vl", "nemotron-nas"),
    *("nemotron_h", "qwen3_5_moe", "recurrent_gemma"),
)
# Modules of mlx_lm.models that are no model types: parts that the models share.
PARTS = {
    *("activations", "base", "bitlinear_layers", "cache", "gated_delta", "mla", "pipeline"),
    *("rope_utils", "ssm", "switch_layers"),
}
# Model type -> why mlx-lm itself cannot build it without more packages.
REFUSED = {"olmo": "To run olmo install ai2-olmo: pip install ai2-olmo"}


def both(names: tuple[str, ...]) -> dict[str, tuple[Filled, dict[str, Asked]]]:
    """What mlx-lm's caches took, and what the child says, by type of the weights."""
    configs = {name: shapes.config(name) for name in names}
    asked = {dtype: ask(configs, dtype) for dtype in {dtype for _, dtype in CASES}}
    filled = fill(configs)
    return {name: (filled[name], {d: asked[d][name] for d in asked}) for name in names}


def require_equal(name: str, filled: Filled, asked: Mapping[str, Asked]) -> None:
    assert filled.error == "", name
    for (tokens, dtype), size in zip(CASES, filled.sizes, strict=True):
        description = asked[dtype].description
        assert description.refusal == "" and description.cache is not None, name
        assert description.cache.bytes(tokens, CHUNK) == size, (name, tokens, dtype)


def test_there_is_a_config_of_every_model_type() -> None:
    modules = {module.name for module in pkgutil.iter_modules(mlx_lm.models.__path__)}
    assert set(shapes.TYPES) == (modules | set(MODEL_REMAPPING)) - PARTS


def test_the_child_knows_what_the_caches_of_these_families_take() -> None:
    for name, (filled, asked) in both(CHOSEN).items():
        require_equal(name, filled, asked)


@pytest.mark.slow
def test_the_child_knows_what_the_cache_of_every_model_type_takes() -> None:
    figures = both(shapes.TYPES)
    for name, (filled, asked) in figures.items():
        if name in REFUSED:
            assert filled.error and {a.description.refusal for a in asked.values()} == {
                REFUSED[name]
            }
        else:
            require_equal(name, filled, asked)
    assert page.types_table(figures) == page.written("types")


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_of_mlx_lm_is_no_model_type(part: str) -> None:
    config: dict[str, Any] = {**shapes.config("llama"), "model_type": part}
    assert ask({part: config}, "float32")[part].description.refusal
