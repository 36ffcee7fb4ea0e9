"""What kind of model a folder holds, according to its files.

Whether a runtime can build a chat model is for its loader to say; here is what no loader can tell:
an embedding model of Qwen3, for instance, has the architecture of the chat model."""

from __future__ import annotations

import os
import re
from typing import Any, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional

from .completeness import TOKENIZERS, loaded_weights
from .files import INDEX, config

CHAT, EMBEDDING, RERANKER, SPEECH = "chat", "embedding", "reranker", "speech"
DRAFTER, ADAPTER, TOKENIZER, IMAGE, OTHER = "drafter", "adapter", "tokenizer", "image", "other"
_NAMES = {
    EMBEDDING: "an embedding model",
    RERANKER: "a reranker",
    SPEECH: "a speech model",
    DRAFTER: "a draft model for speculative decoding",
    ADAPTER: "a LoRA adapter: use it with args='--adapter-path PATH'",
    TOKENIZER: "a tokenizer without weights",
    IMAGE: "an image generator",
    OTHER: "not a chat model",
}
_SENTENCE_TRANSFORMERS = ("modules.json", "config_sentence_transformers.json", "1_Pooling")
_ADAPTER_FILES = ("adapter_config.json", "adapters.safetensors", "adapter_model.safetensors")
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".npz", ".pt")
# Words of a model type. A repository may be called assistant, or have MTP heads beside a whole
# model.
_DRAFTER_TYPES = frozenset(("mtp", "assistant", "eagle", "eagle3", "medusa", "dflash", "drafter"))
_DRAFTER_HEADS = re.compile(r"(Eagle3?|EAGLE3?|MTP(Model)?|Medusa(Model)?|DFlash\w*)$")
# Words of a name or a model type.
_SPEECH_WORDS = frozenset(
    (
        *("asr", "tts", "stt", "whisper", "orpheus", "csm", "dia", "kokoro", "chatterbox"),
        *("vibevoice", "voxtral", "parakeet", "moonshine", "wav2vec2", "seamless", "musicgen"),
        *("speech", "speecht5", "encodec", "snac"),
    )
)
_RERANKER_WORDS = frozenset(("rerank", "reranker"))
_EMBEDDING_WORDS = frozenset(("embed", "embedding", "embeddings", "embedder"))
_EMBEDDING_SERIES = frozenset(("e5", "gte", "bge"))
# As in "embed-8bit", embeddings that are quantized differently.
_QUANTIZATION = re.compile(r"\d+bits?|q\d\w*|int\d+|b?fp?\d+|mxfp\d+")
_TASK_HEADS = re.compile(
    r"For(?!CausalLM|ConditionalGeneration|Chat|VisionText2Text|ImageTextToText)[A-Z]"
)
_VISION = re.compile(r"VL(?![a-z])|_vl|Vision|Llava|llava|MiniCPM[VO]|minicpm[vo]|OCR|ocr")


class Kind(NamedTuple):
    """`name`: a constant of this module. `reason`: what shows it; "" for a chat model."""

    name: str
    reason: str = ""


def kind_of(path: str, label: str) -> Kind:
    """The kind of the model at `path`; `label`: its repository or the name of its folder."""
    try:
        names = frozenset(os.listdir(path))
    except OSError:
        return Kind(OTHER, "its folder cannot be read")
    settings = config(path)
    name = _by_files(names) or _by_name(label) or _by_config(settings)
    if name is None:
        return Kind(CHAT)
    family = _text(settings.get("model_type"))
    return Kind(name, _NAMES[name] + (" (%s)" % family if family and name != ADAPTER else ""))


def _by_files(names: FrozenSet[str]) -> Optional[str]:
    if names.intersection(_ADAPTER_FILES) and not loaded_weights(names):
        return ADAPTER
    if "model_index.json" in names and "config.json" not in names:
        return IMAGE
    there = any(name.endswith(_WEIGHTS) for name in names) or names & {"config.json", INDEX}
    if not there and names.intersection(sum(TOKENIZERS, ("tokenizer_config.json",))):
        return TOKENIZER
    return EMBEDDING if names.intersection(_SENTENCE_TRANSFORMERS) else None


def _by_name(label: str) -> Optional[str]:
    words = _words(label.rpartition("/")[2])
    if _RERANKER_WORDS.intersection(words):
        return RERANKER
    after = dict(zip(words, [*words[1:], ""]))
    if any(not _QUANTIZATION.fullmatch(after[word]) for word in _EMBEDDING_WORDS & set(words)):
        return EMBEDDING
    if words and words[0] in _EMBEDDING_SERIES:
        return EMBEDDING
    return SPEECH if _is_speech(words) else None


def _by_config(settings: Mapping[str, Any]) -> Optional[str]:
    family, head = _text(settings.get("model_type")), _architecture(settings)
    if not (family or head):
        return OTHER
    words = _words(family)
    if _DRAFTER_TYPES.intersection(words) or _DRAFTER_HEADS.search(head):
        return DRAFTER
    if _is_speech(words):
        return SPEECH
    if head.endswith("ForSequenceClassification"):
        return RERANKER
    if _TASK_HEADS.search(head) or settings.get("is_encoder_decoder") is True:
        return OTHER
    return EMBEDDING if head.endswith("Model") and "Chat" not in head and "LM" not in head else None


def _is_speech(words: Iterable[str]) -> bool:
    return any(word in _SPEECH_WORDS or word.endswith(("tts", "asr")) for word in words)


def _architecture(settings: Mapping[str, Any]) -> str:
    names = settings.get("architectures")
    return _text(names[0]) if isinstance(names, list) and names else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _words(text: str) -> List[str]:
    return [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]


def is_vision(settings: Mapping[str, Any]) -> bool:
    """Whether a config.json is of a model that accepts images."""
    names = _architecture(settings) + " " + _text(settings.get("model_type"))
    return isinstance(settings.get("vision_config"), dict) or bool(_VISION.search(names))
