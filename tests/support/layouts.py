"""Repositories laid out as the Hub has them, made from the files of a tiny model."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load, save

from mlxops.demo.tinymodel import model_files

Files = dict[str, bytes]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# Kimi's tokenizer: code of the repository's own reads a vocabulary that transformers cannot.
KIMI_TOKENIZER = """\
import base64

from transformers import PreTrainedTokenizer


class TikTokenTokenizer(PreTrainedTokenizer):
    vocab_files_names = {"vocab_file": "tiktoken.model"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file, **kwargs):
        self.ranks = {}
        with open(vocab_file, "rb") as file:
            for line in file:
                piece, rank = line.split()
                self.ranks[base64.b64decode(piece).decode("latin-1")] = int(rank)
        self.pieces = {rank: piece for piece, rank in self.ranks.items()}
        super().__init__(**kwargs)

    @property
    def vocab_size(self):
        return len(self.ranks)

    def get_vocab(self):
        return {**self.ranks, **self.added_tokens_encoder}

    def _tokenize(self, text, **kwargs):
        return list(text.encode().decode("latin-1"))

    def _convert_token_to_id(self, token):
        return self.ranks.get(token, 0)

    def _convert_id_to_token(self, index):
        return self.pieces.get(index, "")

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens).encode("latin-1", "replace").decode(errors="replace")

    def save_vocabulary(self, save_directory, filename_prefix=None):
        return ()
"""


def saying(word: str) -> Files:
    """A model that answers `I am WORD.`"""
    return model_files(["I", " am", f" {word}", "."])


def changed(files: Mapping[str, bytes], name: str, **settings: Any) -> Files:
    """The files with these keys set in one of the JSON files; None removes a key."""
    keys = {**json.loads(files[name]), **settings}
    kept = {key: value for key, value in keys.items() if value is not None}
    return {**files, name: json.dumps(kept).encode()}


def without(files: Mapping[str, bytes], *names: str) -> Files:
    return {name: content for name, content in files.items() if name not in names}


def shards(count: int) -> list[str]:
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def sharded(files: Mapping[str, bytes], count: int = 2, *, indexed: int | None = None) -> Files:
    """The weights in `count` shards. `indexed`: of how many shards the index speaks (by default,
    of these; 0 for no index)."""
    weights = load(files[SINGLE])
    keys, names = sorted(weights), shards(count)
    parts = {
        name: save({key: weights[key] for key in keys[i::count]}, metadata={"format": "mlx"})
        for i, name in enumerate(names)
    }
    told = names if indexed is None else shards(indexed)
    index = {key: told[i % len(told)] for i, key in enumerate(keys)} if told else {}
    text = json.dumps({"metadata": {}, "weight_map": index}).encode()
    return {**without(files, SINGLE, INDEX), **parts, **({INDEX: text} if index else {})}


def as_qwen3_vl(files: Mapping[str, bytes]) -> Files:
    """The same model as the text part of a Qwen3-VL."""
    config = json.loads(files["config.json"])
    top = {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "eos_token_id": config["eos_token_id"],
        "text_config": {**config, "model_type": "qwen3_vl_text"},
        "vision_config": {"depth": 2, "hidden_size": 32, "model_type": "qwen3_vl"},
    }
    weights = {f"language_model.{key}": value for key, value in load(files[SINGLE]).items()}
    return {
        **files,
        "config.json": json.dumps(top).encode(),
        SINGLE: save(weights, metadata={"format": "mlx"}),
    }


def as_kimi(files: Mapping[str, bytes], vocabulary: str = "tiktoken.model") -> Files:
    """The same model with the tokenizer of a Kimi: a vocabulary and the code that reads it."""
    tokenizer = json.loads(files["tokenizer.json"])
    by_rank = sorted(tokenizer["model"]["vocab"].items(), key=lambda pair: int(pair[1]))
    symbols = _bytes_of_symbols()
    lines = [
        base64.b64encode(bytes(symbols[symbol] for symbol in piece)) + b" %d\n" % rank
        for piece, rank in by_rank
    ]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = {
        str(token["id"]): {**plain, "content": token["content"], "special": True}
        for token in tokenizer["added_tokens"]
    }
    ours = changed(
        without(files, "tokenizer.json"),
        "tokenizer_config.json",
        tokenizer_class="TikTokenTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
        added_tokens_decoder=added,
    )
    code = KIMI_TOKENIZER.replace("tiktoken.model", vocabulary)
    return {**ours, vocabulary: b"".join(lines), "tokenization_kimi.py": code.encode()}


def _bytes_of_symbols() -> dict[str, int]:
    """GPT-2's symbol of each byte, the other way round."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {chr(byte): byte for byte in printable}
    return symbols | {chr(256 + i): byte for i, byte in enumerate(others)}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files in a plain folder, as `git clone` or `mlx_lm.fuse` leaves them."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
