"""What a family and its template suggest. Parser names are checked against a captured help of the
server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.formats.families import (
    COMPANION,
    FAMILIES,
    MARKUPS,
    OPENED,
    SWITCHED,
    THINKS,
    opens_thinking,
    propose,
)
from mlxops.agent.formats.marks import call_marks
from mlxops.agent.runtimes.table import parse_help

HELP = parse_help(
    (Path(__file__).parents[2] / "fixtures/help/mlx-openai-server-1.8.1.txt").read_text()
)
TOOL, REASONING = HELP["--tool-call-parser"], HELP["--reasoning-parser"]
JSON = '<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>'
FUNCTION = "<tool_call>\\n<function=example_function_name>\\n<parameter=example>"
ENDS = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
HYBRID = "{%- if not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
HYBRID = JSON + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}" + HYBRID
THINKING = (
    JSON + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
)
R1 = (
    "<｜tool▁calls▁begin｜>{% if add_generation_prompt and not ns.is_tool "
    "%}{{'<｜Assistant｜><think>\\n'}}{% endif %}"
)


@pytest.mark.parametrize(
    ("family", "template", "expected"),
    [
        ("qwen3", HYBRID, ("qwen3", "qwen3")),
        ("qwen3_moe", HYBRID, ("qwen3_moe", "qwen3")),
        ("qwen3_moe", JSON + ENDS, ("qwen3_moe", "")),
        ("qwen3_moe", THINKING, ("qwen3_moe", "qwen3_moe")),
        ("qwen3_moe", FUNCTION + ENDS, ("qwen3_coder", "")),
        ("qwen3_moe", "", ("qwen3_moe", "qwen3")),
        ("gpt_oss", "<|start|>", ("harmony", "harmony")),
        ("gpt_oss", "", ("harmony", "harmony")),
        ("glm4_moe", "<arg_key>'</think>'", ("glm4_moe", "glm4_moe")),
        ("nemotron_h", "<TOOLCALL>", ("", "")),
        ("qwen2", JSON + ENDS, ("hermes", "")),
        ("llama", JSON + ENDS, ("hermes", "")),
        ("llama", "<|python_tag|>", ("", "")),
        ("llama", R1, ("hermes", "qwen3_moe")),
        ("mistral", "[TOOL_CALLS]", ("", "")),
        ("kimi_k2", "<|tool_calls_section_begin|>", ("", "")),
        ("kimi_k2", "<|tool_calls_section_begin|><think></think>", ("hermes", "kimi_k2")),
        ("gpt_oss", JSON + ENDS, ("harmony", "harmony")),
        ("whatever", "", ("", "")),
        ("", "", ("", "")),
    ],
)
def test_parsers(family: str, template: str, expected: tuple[str, str]) -> None:
    found = propose(family, template)
    assert ((*found.tool, "")[0], (*found.reasoning, "")[0]) == expected


OPENINGS = {
    "at the end": ("{{- 'assistant\\n<think>\\n' }}", True),
    "joined (MiniMax)": ("{{- ']~b]ai' ~ '\\n' ~ '<think>' ~ '\\n' }}", True),
    "bare": ("<|assistant|><think>{%- endif %}", True),
    "with a real line end (Nemotron)": ("{%- else -%}{{- '<think>\n\n' -}}{%- endif -%}", True),
    "unless switched off (GLM 4.7)": (
        "{{- '</think>' if not enable_thinking else '<think>' -}}",
        True,
    ),
    "only to close it (Qwen3)": ("{{- '<think>\\n\\n</think>\\n\\n' }}", False),
    "not at all": ("{{- 'assistant\\n' }}", False),
    "empty (GLM 4.5)": ("{{- '\\n<think></think>' if not enable_thinking else '' -}}", False),
}


@pytest.mark.parametrize(("tail", "opens"), OPENINGS.values(), ids=OPENINGS.keys())
def test_whether_a_template_opens_the_thinking_itself(tail: str, opens: bool) -> None:
    assert opens_thinking("{%- if add_generation_prompt %}" + tail) is opens
    assert not opens_thinking(tail + "{%- if add_generation_prompt %}assistant"), (
        "that was in an earlier turn"
    )


def test_thinking_that_is_off_unless_asked_for_is_not_opened() -> None:
    tail = (
        "{% if add_generation_prompt %}{% if not thinking %}{{'</think>'}}{% else "
        "%}{{'<think>'}}{% endif %}"
    )
    assert not opens_thinking(
        "{% if not thinking is defined %}{% set thinking = false %}{% endif %}" + tail
    )
    assert opens_thinking("{% set thinking = enable_thinking %}{% set thinking = false %}" + tail)


def test_a_switch_for_thinking_asks_for_the_parser_that_follows_it() -> None:
    switched = THINKING.replace("add_generation_prompt", "enable_thinking or add_generation_prompt")
    assert propose("qwen3_5", switched).reasoning == SWITCHED
    assert propose("qwen3_5", THINKING).reasoning == OPENED


def test_every_proposal_is_a_parser_the_server_has() -> None:
    tools = (
        {f.tool for f in FAMILIES.values()}
        | {p for m in MARKUPS for p in m.parsers}
        | {COMPANION, ""}
    )
    thinkers = {f.thinks for f in FAMILIES.values()} | {*SWITCHED, *OPENED, *THINKS, ""}
    assert tools - {""} <= set(TOOL)
    assert thinkers - {""} <= set(REASONING)


# How templates of today write a call, by the family's model_type, and the parsers that read it.
TODAY = {
    "MiniMax M2": ("minimax_m2", "'<minimax:tool_call>\\n<invoke name='", "minimax_m2"),
    "GLM 5": ("glm_moe_dsa", "<tool_call>{{ name }}<arg_key>k</arg_key>", "glm4_moe"),
    "Qwen 3.5": ("qwen3_5", FUNCTION, "qwen3_coder"),
    "Granite 4": ("granitemoehybrid", JSON, "hermes"),
    "Gemma 4": ("gemma4", "<|tool_call>call:f{}<tool_call|>", "gemma4"),
    "Kimi K2.5": ("kimi_k25", "<|tool_calls_section_begin|><|tool_call_begin|>", None),
    "Kimi K3": ("kimi_k3", "<|open|>tools<|sep|>", None),
    "Muse": ("muse_spark", "<atem:function_calls><atem:invoke name=", None),
    "LFM 2.5": ("lfm2_moe", "<|tool_call_start|>[f()]<|tool_call_end|>", None),
    "Apertus": ("apertus", "<|tools_prefix|>[]<|tools_suffix|>", None),
    "OLMo 3": ("olmo3", "<function_calls>f()</function_calls>", None),
    "Phi 4 mini": ("phi3", '<|tool_call|>{"name": "f", "arguments": {}}<|/tool_call|>', None),
    "Granite 3": ("granite", '<|tool_call|>[{"name": "f", "arguments": {}}]', None),
    "Hunyuan": ("hunyuan", '<tool_calls><tool_call>f {"arguments": {}}</tool_call>', None),
    "Llama 4": ("llama4", "<|python_start|>f()<|python_end|>", None),
    "Llama 3": ("llama", "<|python_tag|>", None),
    "Cohere": ("cohere2", '<|START_THINKING|><|START_ACTION|>[{"tool_name": ""}]', None),
    "Seed": ("seed_oss", "<seed:tool_call><function=f>", None),
    "Nemotron 2": ("nemotron_h", '<TOOLCALL>[{"name": "", "arguments": {}}]', None),
    "Mistral": ("mistral3", "[TOOL_CALLS]f[ARGS]{}", None),
    "MiniCPM 5": ("minicpm", '<function name="f"><param name="x">', None),
    "DeepSeek V3": ("deepseek_v3", "<｜tool▁calls▁begin｜>", None),
    "DeepSeek V3.2": ("deepseek_v32", '<｜DSML｜function_calls><｜DSML｜invoke name="', None),
}


@pytest.mark.parametrize(("family", "template", "parser"), TODAY.values(), ids=TODAY)
def test_a_parser_is_proposed_only_for_a_format_that_it_reads(
    family: str, template: str, parser: str | None
) -> None:
    found = propose(family, template)
    assert (*found.tool, None)[0] == parser
    assert [
        "reach clients as text" in note and any(mark in note for mark in call_marks(template))
        for note in found.notes
    ] == ([] if parser else [True])


def test_an_unknown_family_is_said() -> None:
    assert "model type novelty" in propose("novelty", "{{ messages }}").notes[0]
    assert propose("qwen3", "").notes == ()


pieces = st.lists(
    st.sampled_from([*(m for markup in MARKUPS for m in markup.marks), "<think>", " ", "'", R1])
)


@given(st.text(), pieces)
def test_any_template_has_a_proposal_and_never_a_reasoning_parser_alone(
    family: str, pieces: list[str]
) -> None:
    found = propose(family, "add_generation_prompt".join(pieces))
    assert found.tool or not found.reasoning
    assert found.tool or found.notes
