"""What the real mlx-lm says of a model, asked in a child process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.loader import ask
from mlxops.agent.loader.ask import describe
from mlxops.agent.loader.description import CacheShape, Description, description_of
from mlxops.agent.loader.source import Folder, Listing
from mlxops.demo.tinymodel import CONFIG

from .conftest import RUNTIME

# Qwen3-235B-A22B, as its config.json has it.
LARGE = {
    "model_type": "qwen3_moe",
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "max_position_embeddings": 262144,
    "mlp_only_layers": [],
    "moe_intermediate_size": 1536,
    "norm_topk_prob": True,
    "num_attention_heads": 64,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 94,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 5000000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}


def listing(config: dict[str, Any]) -> Listing:
    return Listing(json.dumps({"vocab_size": 512, **config}), {"model.safetensors": 1})


def test_a_model_of_235_billion_weights_is_described_without_its_weights(
    ctx: Context, command: list[str]
) -> None:
    said = describe(ctx, RUNTIME, command, listing(LARGE))
    assert said is not None and said.program.startswith("mlx-lm ") and said.refusal == ""
    assert said.cache is not None
    # Keys and values of 4 heads of 128 in 16 bits, in 94 layers.
    assert said.cache.bytes(8192) == 94 * 8192 * 2 * 4 * 128 * 2
    assert said.cache.bytes(8193) == said.cache.bytes(8192 + 256)


def test_a_type_that_mlx_lm_does_not_know_is_refused_in_its_words(
    ctx: Context, command: list[str]
) -> None:
    said = describe(ctx, RUNTIME, command, listing({"model_type": "qwen9"}))
    assert said is not None and said.cache is None
    assert said.refusal == "Model type qwen9 not supported."


def test_a_second_answer_comes_from_the_state_folder(
    ctx: Context, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"vocab_size": 512, **CONFIG}))
    source = Folder(str(folder))
    said = describe(ctx, RUNTIME, command, source)
    started: list[object] = []
    monkeypatch.setattr(ask, "ask_child", lambda *asked: started.append(asked))
    assert said is not None and said.cache is not None
    assert describe(ctx, RUNTIME, command, source) == said and not started
    (folder / "config.json").write_text(json.dumps({"vocab_size": 600, **CONFIG}))
    assert describe(ctx, RUNTIME, command, source) is None and started


def test_a_host_without_the_runtime_has_nothing_to_ask(ctx: Context) -> None:
    assert describe(ctx, RUNTIME, ["/nowhere/mlx_lm.server"], listing(CONFIG)) is None
    assert describe(ctx, RUNTIME, [], listing(CONFIG)) is None


def test_a_model_for_images_needs_mlx_vlm(ctx: Context, command: list[str]) -> None:
    said = describe(ctx, RUNTIME, command, listing(CONFIG), vision=True)
    assert said == Description("mlx-vlm", refusal="mlx-vlm is not installed")


def test_what_an_unknown_record_says_counts_as_unknown() -> None:
    wrong = {"cache": {"layers": [[1, 0]]}, "reads": "x", "faults": [1]}
    assert description_of({**wrong, "program": 3}) == Description("")


def test_a_size_is_on_the_line_between_measured_points_at_a_whole_step() -> None:
    shape = CacheShape(points=((300, 1000), (2048, 2748), (4096, 4796)))
    assert [shape.bytes(n) for n in (1, 300, 512, 4096)] == [1000, 1212, 1212, 4796]
    assert shape.bytes(5096) >= 5796
