"""Tiny MLX models (0.2 MB, Qwen3 architecture) that always give the same answer, for the demo and
the tests.

The answer is a Markov chain in `lm_head`, and the layers are identities. So the real runtimes load
and run the model like any other, and the answer shows which model gave it. Needs numpy, safetensors
and tokenizers, not mlx."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

Config = dict[str, Any]
Weights = dict[str, NDArray[np.float16]]

END, END_OF_TEXT = "<|im_end|>", "<|endoftext|>"
SPECIAL = [END_OF_TEXT, "<|im_start|>", END]
CHAT_TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{%- endif %}"
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
README = b"---\nlibrary_name: mlx\ntags:\n- mlx\n---\ntiny model for tests\n"
CONFIG: Config = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 131072,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "torch_dtype": "float16",
    "hidden_act": "silu",
    "attention_bias": False,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": 2048,
    "eos_token": END,
    "pad_token": END_OF_TEXT,
    "bos_token": None,
    "clean_up_tokenization_spaces": False,
}
# Weight of a token's successor; the random rows reach about 0.05 * sqrt(64).
SUCCESSOR_WEIGHT = 40


def model_files(
    say: Sequence[str] = (), *, loop: bool = False, seed: int = 0, pad_mb: int = 0
) -> dict[str, bytes]:
    """Return name -> content of each file of a repository. The model answers with the pieces `say`
    in that order.

    Without pieces the answer is random, but fixed by `seed`. With `loop` the pieces repeat until
    max_tokens. `pad_mb` adds a file of that many MiB, for downloads that take a while."""
    tokenizer = _tokenizer(say)
    config = _config(tokenizer)
    weights = _weights(config, seed, _chain(tokenizer, say, loop))
    files = _text_files(config, tokenizer) | _weight_files(weights)
    if pad_mb:
        files["padding.bin"] = np.random.default_rng(seed + 1).bytes(pad_mb << 20)
    return files


def write_cache(hub: Path, repo_id: str, files: Mapping[str, bytes]) -> Path:
    """Write the files as `repo_id` into a Hugging Face hub folder, with refs/main pointing to them;
    return the snapshot's path."""
    root = hub / ("models--" + repo_id.replace("/", "--"))
    etags = {name: _etag(name, content) for name, content in files.items()}
    revision = hashlib.sha1(json.dumps(etags, sort_keys=True).encode()).hexdigest()
    snapshot = root / "snapshots" / revision
    for folder in (root / "blobs", root / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / "blobs" / etags[name]).write_bytes(content)
        link = snapshot / name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(root / "blobs" / etags[name], link.parent))
    (root / "refs" / "main").write_text(revision)
    return snapshot


def _etag(name: str, content: bytes) -> str:
    """The Hub's name of a blob: sha256 for LFS files, git's blob sha1 for the others."""
    if name.endswith((".safetensors", ".bin")) or name == "tokenizer.json":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _byte_level(text: str) -> str:
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return symbols.pre_tokenize_str(text)[0][0]


def _tokenizer(pieces: Sequence[str]) -> Tokenizer:
    """A tokenizer with 256 byte symbols, one token per piece, the special tokens, and no merges."""
    vocabulary = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for piece in pieces:
        vocabulary.setdefault(_byte_level(piece), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words = pre_tokenizers.Split(Regex(r"\s?\S+|\s+"), "isolated")
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, symbols])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def _chain(tokenizer: Tokenizer, pieces: Sequence[str], loop: bool) -> list[int]:
    """The token ids of the answer in order, after the newline that ends the prompt."""
    if not pieces:
        return []
    ids = [_id(tokenizer, _byte_level(piece)) for piece in pieces]
    return [_id(tokenizer, _byte_level("\n")), *ids, ids[0] if loop else _id(tokenizer, END)]


def _id(tokenizer: Tokenizer, token: str) -> int:
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"no token {token!r}")
    return found


def _config(tokenizer: Tokenizer) -> Config:
    ends = [_id(tokenizer, END), _id(tokenizer, END_OF_TEXT)]
    return {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), "eos_token_id": ends}


def _weights(config: Config, seed: int, chain: Sequence[int]) -> Weights:
    rng = np.random.default_rng(seed)
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    weights: Weights = {
        "model.embed_tokens.weight": _noise(rng, vocabulary, hidden),
        "lm_head.weight": _noise(rng, vocabulary, hidden),
        "model.norm.weight": np.ones(hidden, np.float16),
    }
    for index in range(config["num_hidden_layers"]):
        for name, weight in _layer(config, rng, identity=bool(chain)).items():
            weights[f"model.layers.{index}.{name}.weight"] = weight
    _link_chain(
        weights["lm_head.weight"], weights["model.embed_tokens.weight"].astype(np.float32), chain
    )
    return weights


def _noise(rng: np.random.Generator, *shape: int) -> NDArray[np.float16]:
    return (rng.standard_normal(shape) * 0.05).astype(np.float16)


def _layer(config: Config, rng: np.random.Generator, identity: bool) -> Weights:
    """One decoder layer. With `identity` both outputs into the residual stream are zero, so the
    stream stays the embedding."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    scale = np.float16(0 if identity else 1)
    return {
        "self_attn.q_proj": _noise(rng, queries, hidden),
        "self_attn.k_proj": _noise(rng, keys, hidden),
        "self_attn.v_proj": _noise(rng, keys, hidden),
        "self_attn.o_proj": _noise(rng, hidden, queries) * scale,
        "self_attn.q_norm": np.ones(head, np.float16),
        "self_attn.k_norm": np.ones(head, np.float16),
        "mlp.gate_proj": _noise(rng, inner, hidden),
        "mlp.up_proj": _noise(rng, inner, hidden),
        "mlp.down_proj": _noise(rng, hidden, inner) * scale,
        "input_layernorm": np.ones(hidden, np.float16),
        "post_attention_layernorm": np.ones(hidden, np.float16),
    }


def _link_chain(
    head: NDArray[np.float16], embedding: NDArray[np.float32], chain: Sequence[int]
) -> None:
    """Make each token of the chain the most likely one after its predecessor."""
    # itertools.pairwise is newer than Python 3.9, on which some tests make models.
    for token, successor in zip(chain, chain[1:]):  # noqa: B905, RUF007
        head[successor] += (
            SUCCESSOR_WEIGHT * embedding[token] / np.linalg.norm(embedding[token])
        ).astype(np.float16)


def _text_files(config: Config, tokenizer: Tokenizer) -> dict[str, bytes]:
    return {
        "config.json": _json(config),
        "generation_config.json": _json(
            {"do_sample": False, "eos_token_id": config["eos_token_id"]}
        ),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": _json(TOKENIZER_CONFIG),
        "chat_template.jinja": CHAT_TEMPLATE.encode(),
        "README.md": README,
    }


def _weight_files(weights: Weights) -> dict[str, bytes]:
    index = {
        "metadata": {"total_size": sum(weight.nbytes for weight in weights.values())},
        "weight_map": dict.fromkeys(sorted(weights), "model.safetensors"),
    }
    return {
        "model.safetensors": save(dict(weights), metadata={"format": "mlx"}),
        "model.safetensors.index.json": _json(index),
    }


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
