"""What a model's family suggests for its template and parsers, when nobody has set them.

Parser names are those of mlx-openai-server 1.8 (`app/parsers/__init__.py`); they change between versions, so `load`
still checks them against the installed server's own help. There is never a reasoning parser without a tool parser:
that server then loses the content of answers that are not streamed.
"""

from __future__ import annotations

import os
from typing import Dict, Mapping, Tuple

from .modelfiles import as_object, config, read

_TEMPLATE_LIMIT = 4 << 20

# model_type of config.json -> (tool_call_parser, reasoning_parser)
_PARSERS: Mapping[str, Tuple[str, str]] = {
    "gemma4": ("gemma4", "gemma4"),
    "gemma4_text": ("gemma4", "gemma4"),
    "glm4_moe": ("glm4_moe", "glm4_moe"),
    "glm4_moe_lite": ("glm4_moe", "glm47_flash"),
    "gpt_oss": ("harmony", "harmony"),
    "iquestloopcoder": ("iquest_coder_v1", ""),
    "kimi_k2": ("kimi_k2", "kimi_k2"),
    "longcat_flash_ngram": ("longcat_flash_lite", ""),
    "minimax": ("minimax_m2", "minimax_m2"),
    "minimax_m2": ("minimax_m2", "minimax_m2"),
    "qwen3": ("qwen3", "qwen3"),
    "qwen3_5": ("qwen3_coder", "qwen3_5"),
    "qwen3_5_moe": ("qwen3_coder", "qwen3_5"),
    "qwen3_moe": ("qwen3_moe", "qwen3"),
    "qwen3_next": ("qwen3", "qwen3"),
    "solar_open": ("solar_open", "solar_open"),
    "step3p5": ("step_35", "step_35"),
}
_QWEN3 = ("qwen3", "qwen3_moe", "qwen3_next")


def template_text(path: str) -> str:
    """The chat template a server would use by itself; "" when the snapshot ships none."""
    raw = read(os.path.join(path, "chat_template.jinja"), _TEMPLATE_LIMIT)
    if raw is not None:
        return raw.decode("utf-8", "replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = as_object(read(os.path.join(path, name), _TEMPLATE_LIMIT)).get("chat_template")
        if found:
            return found if isinstance(found, str) else str(found)
    return ""


def _parsers(family: str, template: str) -> Tuple[str, str]:
    tool, reasoning = _PARSERS.get(family, ("", ""))
    if family not in _QWEN3:
        return tool, reasoning
    if "<function=" in template:
        return "qwen3_coder", ""
    # A Thinking model's template opens <think> itself, and the answer only closes it. The parser for that must not be
    # given to an Instruct model: it would take the whole answer for reasoning.
    return tool, "qwen3_moe" if "assistant\\n<think>" in template else reasoning


def _loose_template(path: str) -> str:
    try:
        found = [name for name in os.listdir(path) if name.endswith(".jinja")]
    except OSError:
        return ""
    return os.path.join(path, found[0]) if len(found) == 1 else ""


def propose(path: str) -> Dict[str, str]:
    """What to set for the model at `path`: a subset of chat_template (a path), tool_call_parser, reasoning_parser.

    Nothing for an unknown family, and no template where the server finds the snapshot's own.
    """
    family, template = config(path).get("model_type"), template_text(path)
    tool, reasoning = _parsers(family if isinstance(family, str) else "", template)
    proposal = {
        "chat_template": "" if template else _loose_template(path),
        "tool_call_parser": tool,
        "reasoning_parser": reasoning,
    }
    return {key: value for key, value in proposal.items() if value}
