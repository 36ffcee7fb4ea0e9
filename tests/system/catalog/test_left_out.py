"""What init adds of a cache as people have it: chat models that the runtime builds, and a line on
everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from safetensors.numpy import load, save

from tests.support.layouts import SINGLE, changed, saying
from tests.support.studio import Answer, Studio, finished

CHAT = {
    "someone/Qwen3-4B-Embedded-Systems-Coder": "qwen3 Qwen3ForCausalLM",
    "someone/model-embed8-mlx": "qwen3 Qwen3ForCausalLM",
    "someone/Assistant-7B-4bit": "qwen3 Qwen3ForCausalLM",
    "someone/my-lora-fused": "llama LlamaForCausalLM",
    "someone/no-architecture": "qwen3",
}
# Repository -> model_type and architecture -> a word of what is said about it.
NOT_ADDED = {
    "mlx-community/Qwen3-TTS-12Hz-1.7B-bf16": ("qwen3_tts Qwen3TTSForCausalLM", "speech"),
    "mlx-community/Qwen3-ASR-1.7B-8bit": ("qwen3_asr Qwen3ASRForConditionalGeneration", "speech"),
    "mlx-community/Voxtral-Mini-3B": ("voxtral VoxtralForConditionalGeneration", "speech"),
    "mlx-community/VibeVoice-1.5B": ("vibevoice VibeVoiceForCausalLM", "speech"),
    "mlx-community/csm-1b": ("csm CsmForConditionalGeneration", "speech"),
    "mlx-community/Dia-1.6B": ("dia DiaForConditionalGeneration", "speech"),
    "mlx-community/chatterbox-turbo": ("chatterbox ChatterboxTTS", "speech"),
    "mlx-community/orpheus-3b-0.1-ft": ("llama LlamaForCausalLM", "speech"),
    "mlx-community/Qwen3.8-27B-MTP-4bit": ("qwen3_5_mtp Qwen3_5MTPForCausalLM", "draft"),
    "mlx-community/gemma-4-31b-it-assistant": (
        "gemma4_assistant Gemma4AssistantForCausalLM",
        "draft",
    ),
    "mlx-community/e5-mistral-7b-instruct-mlx": ("mistral MistralModel", "embedding"),
    "mlx-community/gte-Qwen2-7B-instruct-4bit": ("qwen2 Qwen2ForCausalLM", "embedding"),
    "mlx-community/Qwen3-Embedding-8B-mxfp8": ("qwen3 Qwen3ForCausalLM", "embedding"),
    "mlx-community/Qwen3-Reranker-4B": ("qwen3 Qwen3ForCausalLM", "reranker"),
    "mlx-community/InternVL3-8B-4bit": ("internvl_chat InternVLChatModel", "internvl_chat"),
    "mlx-community/MiniCPM-V-4_5-4bit": ("minicpmv MiniCPMV", "minicpmv"),
    "mlx-community/MiniCPM-o-2_6": ("minicpmo MiniCPMO", "minicpmo"),
    "mlx-community/Nemotron-Nano-VL": ("NemotronH_Nano_VL_V2 NemotronH_Nano_VL_V2", "vision"),
    "mlx-community/chatglm3-6b": ("chatglm ChatGLMModel", "chatglm"),
}


@pytest.fixture
def here(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """By this machine's own agent; the stand-in's interpreter has mlx-lm. Nothing is registered."""
    studio = make_studio(None, studio_runtime)
    for repo, said in {**CHAT, **{repo: said for repo, (said, _) in NOT_ADDED.items()}}.items():
        family, _, head = said.partition(" ")
        heads = [head] if head else None
        studio.add(
            repo, changed(saying("X"), "config.json", model_type=family, architectures=heads)
        )
    return studio


def verbose(studio: Studio) -> Answer:
    return finished(studio.start("init", "-v"))


def test_chat_models_are_added_and_everything_else_is_told_once(here: Studio) -> None:
    here.must("init")
    added = {entry["repo_id"] for entry in here.registry()["models"].values()}
    assert added == {*CHAT, "tiny/amber", "tiny/jade", "tiny/topaz"}
    lines = [line for line in verbose(here).stdout.splitlines() if line.startswith("not added ")]
    for repo, (_, word) in NOT_ADDED.items():
        (line,) = [line for line in lines if line.startswith(f"not added {repo}:")]
        assert word in line.lower(), line
    assert len(lines) == len(NOT_ADDED)
    assert here.mlxops("verify").exit == 0


@pytest.mark.slow
def test_what_is_left_out_is_counted_in_one_line(here: Studio) -> None:
    shown = finished(here.start("init"))
    (line,) = [line for line in shown.stdout.splitlines() if "not added" in line]
    assert f"{len(NOT_ADDED)} other models were not added" in line and "init -v" in line
    assert "8 speech" in line and "2 draft" in line, line


@pytest.mark.slow
def test_parts_of_models_and_originals_are_told_as_such(here: Studio) -> None:
    whole = saying("X")
    pytorch = save(load(whole[SINGLE]), metadata={"format": "pt"})
    here.add("Qwen/Qwen3-0.6B", {**whole, SINGLE: pytorch})
    adapter = {"adapter_config.json": b"{}", "adapters.safetensors": whole[SINGLE]}
    here.add("someone/my-lora", adapter)
    words = ("tokenizer.json", "tokenizer_config.json")
    here.add("someone/words", {name: whole[name] for name in words})
    here.add(
        "someone/llama-gguf", {"llama-Q4_K_M.gguf": b"GGUF", "config.json": json.dumps({}).encode()}
    )
    told = verbose(here).stdout
    assert "not added someone/my-lora: a LoRA adapter: use it with args='--adapter-path" in told
    assert "not added someone/words: a tokenizer without weights" in told
    assert "not added Qwen/Qwen3-0.6B: not converted to MLX" in told
    assert "not added someone/llama-gguf: GGUF" in told
