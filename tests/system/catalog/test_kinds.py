"""What `init` adds, and what it leaves out: told in one line, or with -v in a line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.studio import Studio

FILES = model_files([" X"])


@pytest.fixture
def here(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    return make_studio(None, studio_runtime)


def with_config(model_type: str, head: str, **more: Any) -> dict[str, bytes]:
    settings = {**json.loads(FILES["config.json"]), "model_type": model_type}
    config = {**settings, "architectures": [head], **more}
    return {**FILES, "config.json": json.dumps(config).encode()}


def skipped(studio: Studio) -> dict[str, tuple[str, str]]:
    """Model -> its kind and the reason, of those that init does not add."""
    rows = studio.must("init")["skipped"]
    return {one["model"]: (one["kind"], one["reason"]) for one in rows}


def test_only_models_that_the_runtime_can_serve_are_added(here: Studio) -> None:
    here.add("org/speech", with_config("qwen3_tts", "Qwen3TTSForConditionalGeneration"))
    here.add("org/heads-MTP", with_config("qwen3_5_mtp", "Qwen3_5MTP"))
    here.add("org/gte-Qwen2", FILES)
    here.add("org/lora", {"adapter_config.json": b"{}", "adapters.safetensors": b"x"})
    here.add("org/words", {"tokenizer.json": FILES["tokenizer.json"]})
    here.add("org/InternVL3", with_config("internvl_chat", "InternVLChatModel", vision_config={}))
    here.add("org/novel", with_config("novelty", "NoveltyForCausalLM"))
    here.add("org/Embedded-Coder", FILES)
    here.add("org/plain-embed8", FILES)
    told = skipped(here)
    assert {model: kind for model, (kind, _) in told.items()} == {
        "org/speech": "speech",
        "org/heads-MTP": "drafter",
        "org/gte-Qwen2": "embedding",
        "org/lora": "adapter",
        "org/words": "tokenizer",
        "org/InternVL3": "vision",
        "org/novel": "unsupported",
    }
    names = {"amber", "jade", "topaz", "embedded-coder", "plain-embed8"}
    assert set(here.registry()["models"]) == names
    assert "--adapter-path" in told["org/lora"][1]
    assert "(internvl_chat): install mlx-vlm beside mlx-openai-server" in told["org/InternVL3"][1]
    assert "cannot build a model of type novelty" in told["org/novel"][1]
    out = here.start("init").communicate()[0]
    assert "7 other models were not added: " in out and "1 speech" in out and "lora" not in out
    out, err = here.start("init", "-v").communicate()
    assert "not added org/speech: a speech model (qwen3_tts)" in out, (out, err)
    assert out.count("not added ") == 7 and "passed over" not in err and "skipping" not in err


def test_an_entry_that_is_not_for_chats_is_told_with_the_command_that_removes_it(
    here: Studio,
) -> None:
    here.add("org/speech", with_config("qwen3_tts", "Qwen3TTSForConditionalGeneration"))
    here.add("org/novel", with_config("novelty", "NoveltyForCausalLM"))
    here.must("register", "voice", "org/speech")
    here.must("register", "novel", "org/novel")
    assert here.must("init")["skipped"] == []
    rows = {one["entry"]: one for one in here.mlxops("verify").document["result"]["entries"]}
    assert rows["voice"]["reasons"] == ["it is a speech model (qwen3_tts)"]
    assert "cannot build a model of type novelty" in rows["novel"]["reasons"][0]
    for name in ("voice", "novel"):
        assert rows[name]["next"] == f"mlxops remove {name}"
        here.must("remove", name)
    assert here.mlxops("verify").exit == 0
    assert sorted(skipped(here)) == ["org/novel", "org/speech"]
    assert sorted(here.registry()["models"]) == ["amber", "jade", "topaz"]


def test_a_model_that_was_not_converted_is_told_with_the_command_that_adds_it(
    here: Studio,
) -> None:
    header = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    raw = json.dumps({**header, "__metadata__": {"format": "pt"}}).encode()
    weights = len(raw).to_bytes(8, "little") + raw + b"1234"
    here.add("openai/oss", {**FILES, "model.safetensors": weights})
    kind, reason = skipped(here)["openai/oss"]
    assert kind == "unconverted" and "mlxops register NAME openai/oss" in reason
    here.must("register", "oss", "openai/oss")
    assert here.must("init")["skipped"] == []
