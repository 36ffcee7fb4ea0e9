"""What kind of model a folder holds, by its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.models.kinds import is_vision, kind_of


def folder(path: Path, config: dict[str, Any] | None, *names: str) -> str:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return str(path)


def kind(path: Path, label: str, model_type: str = "llama", head: str = "LlamaForCausalLM") -> str:
    config = {"model_type": model_type, "architectures": [head] if head else []}
    return kind_of(folder(path, config, "model.safetensors", "tokenizer.json"), label).name


@pytest.mark.parametrize(
    ("label", "model_type", "head"),
    [
        ("mlx-community/InternVL3-8B-4bit", "internvl_chat", "InternVLChatModel"),
        ("mlx-community/MiniCPM-V-2_6-4bit", "minicpmv", "MiniCPMV"),
        ("mlx-community/MiniCPM-o-2_6-4bit", "minicpmo", "MiniCPMO"),
        ("nvidia/Nano-VL", "NemotronH_Nano_VL_V2", "NemotronH_Nano_VL_V2"),
        ("zai-org/chatglm3-6b", "chatglm", "ChatGLMModel"),
        ("someone/Qwen3-4B-Embedded-Systems-Coder", "qwen3", "Qwen3ForCausalLM"),
        ("someone/Qwen3-4B-embed8-mlx", "qwen3", "Qwen3ForCausalLM"),
        ("someone/Qwen3-4B-4bit-embed-8bit", "qwen3", "Qwen3ForCausalLM"),
        ("someone/my-assistant-7b", "llama", "LlamaForCausalLM"),
        ("mlx-community/Qwen3-Next-80B-MTP-4bit", "qwen3_next", "Qwen3NextForCausalLM"),
        ("mlx-community/gpt2", "gpt2", "GPT2LMHeadModel"),
        ("mlx-community/Qwen3-VL-4B", "qwen3_vl", "Qwen3VLForConditionalGeneration"),
        ("someone/no-head", "llama", ""),
        ("someone/diamond-7b", "llama", "LlamaForCausalLM"),
    ],
)
def test_chat_models(tmp_path: Path, label: str, model_type: str, head: str) -> None:
    assert kind(tmp_path, label, model_type, head) == "chat"


@pytest.mark.parametrize(
    ("label", "model_type", "head", "expected"),
    [
        ("mlx-community/Qwen3-TTS-4bit", "qwen3_tts", "Qwen3TTSForConditionalGeneration", "speech"),
        ("mlx-community/x-bf16", "qwen3_asr", "Qwen3ASRForConditionalGeneration", "speech"),
        ("mistralai/Mini-3B", "voxtral", "VoxtralForConditionalGeneration", "speech"),
        ("mlx-community/orpheus-3b-0.1-ft-4bit", "llama", "LlamaForCausalLM", "speech"),
        ("mlx-community/VibeVoice-4bit", "vibevoice", "", "speech"),
        ("mlx-community/csm-1b", "csm", "", "speech"),
        ("someone/Llama-OuteTTS-1.0-1B", "llama", "LlamaForCausalLM", "speech"),
        ("mlx-community/Qwen3.8-27B-MTP-4bit", "qwen3_5_mtp", "Qwen3_5MTP", "drafter"),
        ("mlx-community/g4-assistant", "gemma4_assistant", "Gemma4ForCausalLM", "drafter"),
        ("someone/EAGLE3-LLaMA3.1", "llama", "LlamaForCausalLMEagle3", "drafter"),
        ("intfloat/e5-mistral-7b-instruct", "mistral", "MistralModel", "embedding"),
        ("Alibaba-NLP/gte-Qwen2-7B-instruct", "qwen2", "Qwen2ForCausalLM", "embedding"),
        ("Qwen/Qwen3-Embedding-0.6B-4bit-DWQ", "qwen3", "Qwen3ForCausalLM", "embedding"),
        ("mlx-community/nomic-embed-text", "nomic_bert", "NomicBertModel", "embedding"),
        ("someone/embeddinggemma-300m", "gemma3_text", "Gemma3TextModel", "embedding"),
        ("Qwen/Qwen3-Reranker-4B", "qwen3", "Qwen3ForCausalLM", "reranker"),
        ("BAAI/x-v2", "xlm-roberta", "XLMRobertaForSequenceClassification", "reranker"),
        ("google/x-base", "bert", "BertForMaskedLM", "other"),
        ("someone/nothing", "", "", "other"),
    ],
)
def test_models_that_are_not_for_chats(
    tmp_path: Path, label: str, model_type: str, head: str, expected: str
) -> None:
    assert kind(tmp_path, label, model_type, head) == expected


def test_an_encoder_with_a_decoder_is_not_for_chats(tmp_path: Path) -> None:
    config = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    path = folder(tmp_path, {**config, "is_encoder_decoder": True}, "model.safetensors")
    assert kind_of(path, "org/x").name == "other" and "(t5)" in kind_of(path, "org/x").reason


@pytest.mark.parametrize("mark", ["modules.json", "1_Pooling/config.json"])
def test_the_files_of_sentence_transformers_show_an_embedding_model(
    tmp_path: Path, mark: str
) -> None:
    config = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
    path = folder(tmp_path, config, "model.safetensors", mark)
    assert kind_of(path, "someone/plain").name == "embedding"


def test_an_adapter_is_told_from_a_model_that_was_merged(tmp_path: Path) -> None:
    path = folder(tmp_path, None, "adapter_config.json", "adapters.safetensors")
    assert kind_of(path, "org/lora").name == "adapter"
    assert "--adapter-path" in kind_of(path, "org/lora").reason
    folder(tmp_path, {"model_type": "llama"}, "model.safetensors")
    assert kind_of(path, "org/lora").name == "chat"


def test_a_tokenizer_alone_is_told_from_a_model_that_is_being_downloaded(tmp_path: Path) -> None:
    path = folder(tmp_path, None, "tokenizer.json", "tokenizer_config.json")
    assert kind_of(path, "org/tokenizer").name == "tokenizer"
    folder(tmp_path, {"model_type": "llama"})
    assert kind_of(path, "org/tokenizer").name == "chat"


@pytest.mark.parametrize(
    ("config", "sees"),
    [
        ({"model_type": "gemma3", "vision_config": {}}, True),
        ({"architectures": ["InternVLChatModel"]}, True),
        ({"model_type": "minicpmo"}, True),
        ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, False),
        ({"model_type": ["odd"], "architectures": [7]}, False),
    ],
)
def test_vision_models(config: dict[str, Any], sees: bool) -> None:
    assert is_vision(config) is sees
