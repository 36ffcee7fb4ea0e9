"""What a person has to decide before a model can serve well, by its files and the installed
packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlxops.agent.models.cautions import Caution, code_of_repository, find_cautions
from mlxops.agent.models.defaults import find_defaults
from mlxops.agent.programs.installed import Installed
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES

MAP = {"auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]}}
TEMPLATE = {"chat_template.jinja": "{{ messages }}"}
KIMI = {**TEMPLATE, "tokenizer_config.json": json.dumps(MAP), "tiktoken.model": "x"}
CODE = {"tokenizer_config.json": json.dumps({"chat_template_type": "sparse"})}


def cautions(folder: Path, runtime: str = "mlx_lm.server", **fields: object) -> tuple[Caution, ...]:
    packages = folder / "packages"
    installed = Installed(RUNTIMES[runtime], {"--trust-remote-code": ()}, (str(packages),))
    entry = Entry("a", {**REQUIRED, "cache_path": str(folder), **fields})
    return find_cautions(entry, installed, find_defaults(installed, entry, None))


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {"config.json": '{"model_type": "llama"}', **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("runtime", "effect", "fatal"),
    [
        ("mlx_lm.server", "mlx_lm.server would prompt it without one", False),
        ("mlx-openai-server", "every chat fails", True),
        ("vllm", "chats may fail", False),
    ],
)
def test_a_model_without_a_template(tmp_path: Path, runtime: str, effect: str, fatal: bool):
    (one,) = cautions(write(tmp_path, {}), runtime)
    assert one.note == (
        f"no chat template found (a base model?), so {effect}: mlxops set a chat_template=PATH"
    )
    assert one.fatal is fatal
    assert cautions(write(tmp_path, TEMPLATE), runtime) == ()


def test_the_template_of_the_entry_is_one(tmp_path: Path):
    own = write(tmp_path, {"own/x.jinja": "{{ messages }}"}) / "own/x.jinja"
    assert cautions(tmp_path, "mlx-openai-server", chat_template=str(own)) == ()


def test_a_model_that_is_not_here_has_none(tmp_path: Path):
    assert cautions(tmp_path / "gone", "mlx-openai-server") == ()


def test_a_tokenizer_that_is_code(tmp_path: Path):
    (one,) = cautions(write(tmp_path, KIMI), args=["--max-tokens", "9"])
    assert one.fatal and "(tokenization_kimi.TikTokenTokenizer)" in one.text
    assert one.command == "mlxops set a 'args=--max-tokens 9 --trust-remote-code'"
    assert cautions(tmp_path, args=["--trust-remote-code"]) == ()


def test_code_beside_a_usual_tokenizer_is_not_needed(tmp_path: Path):
    assert cautions(write(tmp_path, {**KIMI, "tokenizer.json": "{}"})) == ()


@pytest.mark.parametrize(
    ("source", "lacks"),
    [
        ("def apply_chat_template(messages): 1", "enable_thinking and reasoning_effort"),
        ("enable_thinking", "reasoning_effort"),
        ("enable_thinking, reasoning_effort", None),
    ],
)
def test_code_in_place_of_a_template(tmp_path: Path, source: str, lacks: str | None):
    code = {"packages/mlx_lm/chat_templates/sparse.py": source}
    found = cautions(write(tmp_path, {**CODE, **code}), "mlx-openai-server")
    assert [(f"passes {lacks}, which" in one.text, one.fatal) for one in found] == (
        [(True, True)] if lacks else []
    )
    light = cautions(tmp_path, "mlx_lm.server")
    assert bool(light) is ("enable_thinking" not in source)


@pytest.mark.parametrize(
    ("files", "settings", "why"),
    [
        (("tiktoken.model", "tokenization_kimi.py"), MAP, "(tokenization_kimi.py)"),
        (("tokenizer.jsonl", "tokenization_plamo.py"), MAP, "(tokenization_plamo.py)"),
        (("qwen.tiktoken", "tokenization_qwen.py"), MAP, "(tokenization_qwen.py)"),
        (("tokenizer.json", "tokenization_kimi.py"), MAP, ""),
        (("tiktoken.model", "tokenization_kimi.py"), {}, ""),
        (("tiktoken.model", "modeling_kimi.py"), MAP, ""),
    ],
)
def test_code_that_shows_before_a_download(files: tuple[str, ...], settings: object, why: str):
    installed = Installed(RUNTIMES["mlx_lm.server"], {}, ())
    said = code_of_repository(settings, files, installed)  # type: ignore[arg-type]
    assert said.endswith(why) and bool(said) == bool(why)
