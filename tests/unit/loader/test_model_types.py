"""The loader's child knows the prompt cache of every model type that mlx-lm builds, to the byte."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence

import mlx_lm.models
import pytest
from mlx_lm.utils import MODEL_REMAPPING

from mlxops.agent.loader.description import STEP
from tests.support.modeltypes import large, page, shapes
from tests.support.modeltypes.figures import CASES, CHUNK, Asked, Case, Filled, ask, fill

# One of every kind of cache: plain, with windows, chunks, a latent, an indexer, states, compressed
# streams, nested, shared by layers, more than one per layer, remapped.
CHOSEN = (
    *("deepseek_v41", "gemma4_unified", "gpt_oss", "granitemoehybrid", "joyai_llm_flash", "llama"),
    *("llama4", "longcat_flash", "minimax_m3_vl", "nemotron-nas", "qwen3_5_moe", "recurrent_gemma"),
)
# Their caches compress the tokens by more than one ratio.
MEASURED = ("deepseek_v41", "deepseek_v41_text")
# Each takes some 20 s of CPU time.
BATCHES = 10
# Modules of mlx_lm.models that are no model types: parts that the models share.
PARTS = {
    *("activations", "base", "bitlinear_layers", "cache", "gated_delta", "mla", "pipeline"),
    *("rope_utils", "ssm", "switch_layers"),
}
# Model type -> why mlx-lm itself cannot build it without more packages.
REFUSED = {"olmo": "To run olmo install ai2-olmo: pip install ai2-olmo"}


def both(
    names: tuple[str, ...], cases: Sequence[Case] = CASES
) -> dict[str, tuple[Filled, dict[str, Asked]]]:
    """What mlx-lm's caches took, and what the child says, by type of the weights."""
    configs = {name: shapes.config(name) for name in names}
    asked = {dtype: ask(configs, dtype) for dtype in {dtype for _, dtype in cases}}
    filled = fill(configs, cases)
    return {name: (filled[name], {d: asked[d][name] for d in asked}) for name in names}


def require_equal(
    name: str, filled: Filled, asked: Mapping[str, Asked], cases: Sequence[Case] = CASES
) -> None:
    """Equal to the byte; within a step of 256 tokens if the child knows only points of the cache's
    growth."""
    assert filled.error == "", name
    for (tokens, dtype), size in zip(cases, filled.sizes, strict=True):
        description = asked[dtype].description
        assert description.refusal == "" and description.cache is not None, name
        said, more = (description.cache.bytes(n, CHUNK) for n in (tokens, tokens + STEP))
        measured = description.cache.points != ()
        assert size == said or (measured and size < said <= more), (name, tokens, dtype)
        assert measured == (name in MEASURED)


def test_there_is_a_config_of_every_model_type() -> None:
    modules = {module.name for module in pkgutil.iter_modules(mlx_lm.models.__path__)}
    assert set(shapes.TYPES) == (modules | set(MODEL_REMAPPING)) - PARTS


def test_the_child_knows_what_the_caches_of_these_families_take() -> None:
    for name, (filled, asked) in both(CHOSEN, CASES[:2]).items():
        require_equal(name, filled, asked, CASES[:2])


@pytest.mark.slow
def test_the_page_has_what_the_child_says_of_large_models() -> None:
    asked = ask(large.configs(), "bfloat16")
    rows = [line.split(" | ") for line in page.written("large").splitlines()[2:]]
    assert {row[0].strip("| "): row[1] for row in rows} == {
        name: page.large_size(asked[name]) for name in asked
    }


def test_the_page_has_every_model_type() -> None:
    assert {*page.held(), *REFUSED} == set(shapes.TYPES)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(BATCHES))
def test_the_child_knows_what_the_cache_of_every_model_type_takes(first: int) -> None:
    figures = both(shapes.TYPES[first::BATCHES])
    for name, (filled, asked) in figures.items():
        if name in REFUSED:
            assert filled.error and {a.description.refusal for a in asked.values()} == {
                REFUSED[name]
            }
        else:
            require_equal(name, filled, asked)
    rows = page.types_table(figures).splitlines()
    assert set(rows) <= set(page.written("types").splitlines())


def test_a_part_of_mlx_lm_is_no_model_type() -> None:
    asked = ask({part: {**shapes.config("llama"), "model_type": part} for part in PARTS}, "float32")
    assert {part for part, said in asked.items() if said.description.refusal} == PARTS
