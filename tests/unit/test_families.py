"""What a family suggests. Parser names are checked against a captured list of mlx-openai-server 1.8.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent import families

TOOL = """functiongemma gemma4 glm4_moe harmony hermes iquest_coder_v1 kimi_k2 longcat_flash_lite minimax_m2
    nemotron3_nano qwen3 qwen3_coder qwen3_moe qwen3_vl solar_open step_35"""
REASONING = """gemma4 glm47_flash glm4_moe harmony hermes kimi_k2 minimax_m2 mixed_think_tool_handoff
    nemotron3_nano qwen3 qwen3_5 qwen3_moe qwen3_vl solar_open step_35"""
HYBRID = "{{- '<|im_start|>assistant\\n' }}{%- if not thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
THINKING = "{{- '<|im_start|>assistant\\n<think>\\n' }}"
CODER = "<tool_call>\\n<function=example>" + HYBRID


def model(path: Path, family: object, template: str | None = "{{ messages }}", **files: str) -> str:
    (path / "config.json").write_text(json.dumps({"model_type": family}))
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    for name, content in files.items():
        (path / name).write_text(content)
    return str(path)


@pytest.mark.parametrize(("family", "template", "expected"), [
    ("qwen3", HYBRID, ("qwen3", "qwen3")),
    ("qwen3_moe", HYBRID, ("qwen3_moe", "qwen3")),
    ("qwen3_moe", THINKING, ("qwen3_moe", "qwen3_moe")),
    ("qwen3_moe", CODER, ("qwen3_coder", None)),
    ("gpt_oss", "<|start|>", ("harmony", "harmony")),
    ("glm4_moe", "x", ("glm4_moe", "glm4_moe")),
    ("llama", THINKING, (None, None)),
    (["qwen3"], HYBRID, (None, None)),
    (None, HYBRID, (None, None)),
])  # fmt: skip
def test_parsers(tmp_path: Path, family: object, template: str, expected: tuple[str | None, str | None]) -> None:
    found = families.propose(model(tmp_path, family, template))
    assert (found.get("tool_call_parser"), found.get("reasoning_parser")) == expected
    assert "chat_template" not in found


def test_every_proposal_is_a_parser_the_server_has() -> None:
    for family, (tool, reasoning) in families._PARSERS.items():
        assert tool in TOOL.split(), family
        assert reasoning in ["", *REASONING.split()], family


def test_the_template_inside_the_tokenizer_config_counts(tmp_path: Path) -> None:
    config: dict[str, Any] = {"chat_template": [{"name": "default", "template": CODER}]}
    path = model(tmp_path, "qwen3_moe", None, **{"tokenizer_config.json": json.dumps(config)})
    assert families.propose(path) == {"tool_call_parser": "qwen3_coder"}


def test_a_lone_template_under_another_name_is_proposed(tmp_path: Path) -> None:
    path = model(tmp_path, "llama", None, **{"template.jinja": "{{ messages }}"})
    assert families.propose(path) == {"chat_template": str(tmp_path / "template.jinja")}
    (tmp_path / "other.jinja").write_text("{{ messages }}")
    assert families.propose(path) == {}


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_config_proposes_nothing(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "config.json").write_bytes(raw)
    assert families.propose(str(tmp_path)) == {}
    assert families.propose(str(tmp_path / "absent")) == {}
