"""What mlx-lm says of a model folder: its weights, its tokenizer, its chat template, its own
code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.loader.description import Description
from mlxops.demo.tinymodel import model_files

pytestmark = pytest.mark.slow
Describe = Callable[..., Description]
CONFIG = "tokenizer_config.json"

# As Kimi K2 has it: a vocabulary that only the repository's own class can read.
OWN_CLASS = """
import base64, os
from transformers import PreTrainedTokenizer
open(os.environ["MARK"], "w").close()

class OwnTokenizer(PreTrainedTokenizer):
    vocab_files_names = {"vocab_file": "tiktoken.model"}

    def __init__(self, vocab_file, **kw):
        words = open(vocab_file).read().split()
        self.ranks = {word: n for n, word in enumerate(words)}
        super().__init__(**kw)

    @property
    def vocab_size(self):
        return len(self.ranks)

    def get_vocab(self):
        return dict(self.ranks)

    def _tokenize(self, text, **kw):
        return text.split()

    def _convert_token_to_id(self, token):
        return self.ranks.get(token, 0)

    def _convert_id_to_token(self, index):
        return list(self.ranks)[index]
"""


def changed(name: str, **fields: Any) -> dict[str, bytes]:
    return {name: json.dumps({**json.loads(model_files()[name]), **fields}).encode()}


def test_a_folder_is_described_by_what_the_loader_does(describe_folder: Describe) -> None:
    said = describe_folder({"README.md": b"x", "model-extra.bin": b"x"})
    assert said == Description(
        program=said.program,
        cache=said.cache,
        reads=(
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ),
        template="chat_template.jinja",
        remote_code="",
    )
    # The weights are float16, whatever the config says.
    assert said.cache is not None and said.cache.bytes(256) == 2 * 256 * 2 * 2 * 16 * 2
    again = describe_folder(changed("config.json", torch_dtype="float32"))
    assert again.cache == said.cache and again.faults == {}


def test_weights_that_the_model_does_not_have_are_told_by_their_file(
    describe_folder: Describe,
) -> None:
    header = b'{"mtp.fc.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    said = describe_folder({"model-mtp.safetensors": weights})
    assert said.refusal == ""
    assert said.faults == {
        "model-mtp.safetensors": "Received 1 parameters not in model: mtp.fc.weight."
    }


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({}, "chat_template.jinja"),
        (
            {"chat_template.jinja": None, **changed(CONFIG, chat_template="{{ messages }}")},
            CONFIG,
        ),
        ({"chat_template.jinja": None, "chat_template.json": b'{"chat_template": "x"}'}, ""),
        (
            {"chat_template.jinja": None, **changed(CONFIG, chat_template_type="deepseek_v32")},
            "chat_template_type deepseek_v32",
        ),
    ],
)
def test_the_template_is_where_the_tokenizer_found_it(
    describe_folder: Describe, files: dict[str, bytes], source: str
) -> None:
    said = describe_folder(files)
    assert (said.template, said.template_error, said.tokenizer_error) == (source, "", "")


def test_weights_that_do_not_fit_the_config_are_told(describe_folder: Describe) -> None:
    said = describe_folder(changed("config.json", num_hidden_layers=3))
    assert list(said.faults) == [""] and said.faults[""].startswith("Missing 11 parameters")


def test_a_template_that_fails_says_in_which_conversation(describe_folder: Describe) -> None:
    text = b"{% if tools %}{{ raise_exception('no tools here') }}{% endif %}{{ messages }}<think>"
    said = describe_folder({"chat_template.jinja": text})
    assert said.template_error == "with tools: no tools here"


def test_the_template_of_the_entry_is_rendered_instead(describe_folder: Describe) -> None:
    error = describe_folder({}, template="{% if %}").template_error
    assert error.startswith("without tools: line 1: Expected an expression")


def test_a_model_s_own_python_runs_only_if_it_is_trusted(
    describe_folder: Describe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setenv("MARK", str(mark))
    files = {
        "tokenizer.json": None,
        "tiktoken.model": b"Hello world",
        "tokenization_own.py": OWN_CLASS.encode(),
        **changed(
            CONFIG,
            tokenizer_class="OwnTokenizer",
            auto_map={"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]},
        ),
    }
    said = describe_folder(files)
    assert said.tokenizer_error and not mark.exists()
    assert said.remote_code == (
        "tokenizer_config.json names tokenization_own.OwnTokenizer as the tokenizer's code"
    )
    trusted = describe_folder(files, remote_code=True)
    assert trusted.tokenizer_error == "" == trusted.remote_code and mark.exists()
    assert {"tiktoken.model", "tokenization_own.py"} <= {*trusted.reads}


def test_a_model_class_of_the_repository_does_not_run(
    describe_folder: Describe, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    files = {
        **changed("config.json", model_file="own.py"),
        "own.py": f"open({str(mark)!r}, 'w')\n".encode(),
    }
    said = describe_folder(files)
    assert said.remote_code == "config.json names own.py as the model's code"
    assert said.cache is None and not mark.exists()
