"""Raw tags, which a client must never receive, are reported wherever they are, and nothing else."""

from __future__ import annotations

import pytest

from mlxops.agent.formats.marks import ALL_MARKS
from mlxops.agent.verify import checks
from mlxops.agent.verify.completion import Completion
from mlxops.agent.verify.control_tokens import find_leaks

# What a client of each family would receive from a server without its parser: a tool call, and
# thoughts where the family writes marks of its own around them.
LEAKS = {
    "qwen3": '<think>\nhm\n</think>\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    "qwen3.5": "<tool_call>\n<function=f>\n<parameter=city>\nOslo\n</parameter>\n</function>",
    "glm 5": "<tool_call>f<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call>",
    "minimax": '<minimax:tool_call>\n<invoke name="f">\n<parameter name="city">Oslo</parameter>',
    "deepseek v3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f",
    "deepseek v3.2": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n</｜DSML｜invoke>',
    "kimi k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0",
    "kimi k3": '<|open|>tools<|sep|><|open|>call tool="f" index="1"<|sep|><|close|>call<|sep|>',
    "nemotron 2": '<TOOLCALL>[{"name": "f", "arguments": {}}]</TOOLCALL>',
    "lfm2": "<|tool_call_start|>[f(city='Oslo')]<|tool_call_end|>",
    "lfm2 list": "<|tool_list_start|>[]<|tool_list_end|>",
    "seed": "<seed:think>hm</seed:think><seed:tool_call>\n<function=f>\n</seed:tool_call>",
    "seed thoughts": "<seed:think>hm</seed:think>\nOslo",
    "cohere": '<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[{"tool_name": "f"}]',
    "cohere thoughts": "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Oslo",
    "apertus": '<|tools_prefix|>[{"f": {"city": "Oslo"}}]<|tools_suffix|>',
    "apertus thoughts": "<|inner_prefix|>hm<|inner_suffix|>Oslo",
    "llama 4": '<|python_start|>{"name": "f", "parameters": {}}<|python_end|>',
    "llama 3": '<|python_tag|>{"name": "f", "parameters": {}}',
    "muse": '<atem:function_calls>\n<atem:invoke name="f">\n</atem:invoke>',
    "olmo 3": '<function_calls>\nf(city="Oslo")\n</function_calls>',
    "phi 4 mini, granite 3": '<|tool_call|>[{"name": "f", "arguments": {}}]',
    "hunyuan": '<tool_calls>[{"name": "f", "arguments": {}}]</tool_calls>',
    "minicpm 5": '<function name="f"><param name="city">Oslo</param></function>',
    "mistral": '[TOOL_CALLS]f[ARGS]{"city": "Oslo"}',
    "gemma 4": "<|channel>thought\nhm<channel|><|tool_call>call:f{}<tool_call|>",
    "functiongemma": "<start_function_call>call:f{city:<escape>Oslo<escape>}<end_function_call>",
    "gpt-oss": "<|channel|>analysis<|message|>hm<|end|>",
    "solar": "<|think|>hm<|end|><|tool_call:begin|>",
    "longcat": "<longcat_think>hm</longcat_think><longcat_tool_call>f",
}
# What models write for people, and what contains a part of a mark, or one as a quotation.
CLEAN = {
    "operators": "if a < b | c > d: use x[0], e.g. [TOOLS], <b>bold</b> & |pipes| — thinking…",
    "struck text": "The price was <s>20</s> 15 euros.",
    "usage": "Usage: tool [OPTIONS] [ARGS]...",
    "a key": "Press <escape> to leave the insert mode.",
    "HTML": '<object><param name="movie" value="a.swf"></object>',
    "a C# comment": '/// <param name="city">The city.</param>\nint F(string city) => 1;',
    "a quotation": "Thoughts end with `</think>`, and ``<tool_call>`` opens a call.",
    "a code block": 'Look:\n\n```python\nprint("<think>", "[INST]")\n```\n\nThat is all.',
    "a block of tildes": "~~~~\n<|im_start|>user\n~~~\n~~~~\n",
    "an indented fence": "1. So:\n\n   ```xml\n   <tool_calls/>\n   <tool_calls>\n   ```\n",
    "functions": "A function call is `f(x)`; see <functions> and the tool calls below.",
}


@pytest.mark.parametrize("tag", ALL_MARKS)
def test_every_tag_is_listed_once(tag: str):
    assert ALL_MARKS.count(tag) == 1


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_the_markup_of_every_family_is_a_leak(leak: str):
    assert find_leaks(leak)
    content, reasoning = Completion(content=leak, finish="stop"), Completion(reasoning=leak)
    assert checks.raw_tags({"plain": content}, 100).ok is False
    assert checks.raw_tags({"plain": reasoning}, 100).ok is False


@pytest.mark.parametrize("text", CLEAN.values(), ids=CLEAN)
def test_what_people_write_is_clean(text: str):
    assert find_leaks(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "```\n<think>",
        "a ` b\n<think> ` c",
        "Oslo.</s>",
        '```json\n{"name": "f"}\n```\n</tool_call>',
        "~~~\n```\n<think>\n~~~\n<think>",
    ],
)
def test_a_quotation_hides_nothing_behind_it(text: str):
    assert find_leaks(text)


def test_thoughts_and_answer_are_judged_apart():
    half = Completion(content="```\n", reasoning="<think>\n```", finish="stop")
    assert checks.raw_tags({"plain": half}, 100).detail == "plain answer: <think>"


def test_marks_of_the_installed_mlx_lm_count_too():
    assert find_leaks("<new:call>x") == ()
    assert find_leaks("<new:call>x", ("<new:call>",)) == ("<new:call>",)
    call = "<|open|>tools<|sep|>"
    assert find_leaks(call, (call,)) == ("<|open|>", "<|sep|>")
