"""The output of a model of each family, in its own markup: an answer, usually after some reasoning,
and a tool call.

The templates are written for these tests in the shape of the real ones: the families' table goes by
what they say about tools and by how they end the prompt. Sources: the chat templates on the model
cards. "¦" separates the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .bodies import CALLS, TALKS, files

TOOL, ARGUMENTS = "get_weather", {"city": "Oslo"}
MARK = f"{{{{- '{CALLS}' if tools and messages[-1].role != 'tool' else '{TALKS}' }}}}{{%- endif %}}"


class Speech(NamedTuple):
    """A family's model. `thinks`: its reasoning must reach a client as reasoning, apart from the
    answer.

    `lost`: what the server gets wrong even with the best flags it has; "" for nothing."""

    model_type: str
    template: str
    talk: str
    call: str
    thinks: bool
    lost: str = ""

    def files(self) -> dict[str, bytes]:
        return files(self.model_type, self.talk.split("¦"), self.call.split("¦"), self.template)

    @property
    def answer(self) -> str:
        """What a client must receive as the content of an answer."""
        return "Hello from " + self.talk.rpartition("from¦ ")[2].replace("¦", "")


def turns(begin: str, after_role: str, end: str, teaches: str, opens: str) -> str:
    """A template: tools in a system turn, the turns, and the start of the model's turn."""
    told = (
        "{%- if tools %}"
        + begin
        + "system"
        + after_role
        + teaches
        + "{{ tools | tojson }}"
        + end
        + "{%- endif %}"
    )
    said = (
        "{%- for m in messages %}"
        + begin
        + "{{ m.role }}"
        + after_role
        + "{{ m.content }}"
        + end
        + "{%- endfor %}"
    )
    return (
        told
        + said
        + "{%- if add_generation_prompt %}{{- '"
        + opens.replace("\n", "\\n")
        + "' }}"
        + MARK
    )


def chatml(teaches: str, opens: str = "") -> str:
    return turns("<|im_start|>", "\n", "<|im_end|>\n", teaches, "<|im_start|>assistant\n" + opens)


KEEPS = "{%- if '</think>' in messages[-1].content %}{%- endif %}"
HERMES = (
    'Within <tool_call></tool_call>: <tool_call>\n{"name": <function-name>, "arguments": {}}\n'
    "</tool_call>"
)
FUNCTION = (
    "<tool_call>\n<function=example>\n<parameter=example>\nvalue\n</parameter>\n</function>\n"
    "</tool_call>"
)
MINIMAX = (
    '<minimax:tool_call>\n<invoke name="x">\n<parameter name="k">v</parameter>\n</invoke>\n'
    "</minimax:tool_call>"
)
GLM = (
    "<tool_call>{function-name}\n<arg_key>{arg-key}</arg_key>\n"
    "<arg_value>{arg-value}</arg_value>\n</tool_call>"
)
DEEPSEEK = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name"
LLAMA = "Answer with {} in the format of a function call. Environment: ipython <|python_tag|>"

HELLO = "Hello¦ from¦ %s¦!"
THOUGHT = "\nA greeting¦ it is.\n¦</think>¦\n\n¦"
WANTED = "\nThe weather¦ is wanted.\n¦</think>¦\n\n¦"
HERMES_CALL = (
    '<tool_call>¦\n{"name": "get_weather",¦ "arguments": {"city":¦ "Oslo"}}¦\n</tool_call>'
)
FUNCTION_CALL = (
    "<tool_call>¦\n<function=get_weather>¦\n<parameter=city>¦\nOslo¦\n</parameter>¦\n"
    "</function>¦\n</tool_call>"
)
MINIMAX_CALL = (
    '<minimax:tool_call>¦\n<invoke name="get_weather">¦\n'
    '<parameter name="city">¦Oslo¦</parameter>¦\n</invoke>¦'
    "\n</minimax:tool_call>"
)
GLM_CALL = (
    "<tool_call>¦get_weather\n¦<arg_key>¦city¦</arg_key>¦\n<arg_value>¦Oslo¦</arg_value>¦\n"
    "¦</tool_call>"
)
KIMI_CALL = (
    "<|tool_calls_section_begin|>¦<|tool_call_begin|>¦functions.get_weather:0¦<|"
    "tool_call_argument_begin|>¦"
    '{"city":¦ "Oslo"}¦<|tool_call_end|>¦<|tool_calls_section_end|>'
)
DEEPSEEK_CALL = (
    "<｜tool▁calls▁begin｜>¦<｜tool▁call▁begin｜>¦function¦<｜tool▁sep｜>¦get_weather\n```json\n¦"
    '{"city": "Oslo"}¦\n```¦<｜tool▁call▁end｜>¦<｜tool▁calls▁end｜>'
)
SOLAR_CALL = (
    "<|begin|>assistant¦<|tool_call:begin|>¦ab12¦<|tool_call:name|>¦get_weather¦<|tool_call:args|>¦"
    '{"city":¦ "Oslo"}¦<|tool_call:end|>'
)
HARMONY_CALL = (
    "<|channel|>¦commentary¦ to=functions.get_weather¦ <|constrain|>¦json¦<|message|>"
    '¦{"city":¦ "Oslo"¦}¦<|call|>'
)
HARMONY = turns(
    "<|start|>",
    "<|message|>",
    "<|end|>",
    "Channels: <|channel|>analysis, final.",
    "<|start|>assistant",
)
GEMMA = ("<start_of_turn>", "\n", "<end_of_turn>\n")
NO_PARSER = "tool calls stay text: no parser reads them"

SPEECHES: Mapping[str, Speech] = {
    "qwen3": Speech(
        "qwen3",
        KEEPS + chatml(HERMES),
        "<think>¦" + THOUGHT + HELLO % "qwen3",
        "<think>" + WANTED + HERMES_CALL,
        True,
    ),
    "qwen3_moe": Speech(
        "qwen3_moe",
        KEEPS + chatml(HERMES),
        "<think>¦" + THOUGHT + HELLO % "qwen3_moe",
        "<think>" + WANTED + HERMES_CALL,
        True,
    ),
    "qwen3_moe, thinking": Speech(
        "qwen3_moe",
        chatml(HERMES, "<think>\n"),
        THOUGHT + HELLO % "thinking",
        WANTED + HERMES_CALL,
        True,
    ),
    "qwen3_moe, coder": Speech(
        "qwen3_moe", chatml(FUNCTION), HELLO % "coder", FUNCTION_CALL, False
    ),
    "qwen3_next": Speech("qwen3_next", chatml(HERMES), HELLO % "qwen3_next", HERMES_CALL, False),
    "qwen2": Speech("qwen2", chatml(HERMES), HELLO % "qwen2", HERMES_CALL, False),
    "llama": Speech(
        "llama",
        turns(
            "<|start_header_id|>",
            "<|end_header_id|>\n\n",
            "<|eot_id|>",
            LLAMA,
            "<|start_header_id|>",
        ),
        HELLO % "llama",
        '<|python_tag|>¦{"name": "get_weather",¦ "parameters": {"city":¦ "Oslo"}}',
        False,
        NO_PARSER,
    ),
    "llama, taught <tool_call>": Speech(
        "llama", chatml(HERMES), HELLO % "hermes", HERMES_CALL, False
    ),
    "llama, DeepSeek R1 distilled": Speech(
        "llama",
        turns("<｜", "｜>", "", DEEPSEEK, "<｜Assistant｜><think>\n"),
        THOUGHT + HELLO % "r1",
        WANTED + DEEPSEEK_CALL,
        True,
        NO_PARSER,
    ),
    "mistral": Speech(
        "mistral",
        turns("[INST]", " ", "[/INST]", "[AVAILABLE_TOOLS]", "[TOOL_CALLS]"),
        HELLO % "mistral",
        '[TOOL_CALLS]¦get_weather¦[ARGS]¦{"city": "Oslo"}',
        False,
        NO_PARSER,
    ),
    "gemma3_text": Speech(
        "gemma3_text",
        turns(*GEMMA, "", "<start_of_turn>model\n"),
        HELLO % "gemma3",
        '```tool_code\n¦get_weather¦(city="Oslo")¦\n```',
        False,
        NO_PARSER,
    ),
    "gemma3_text, functiongemma": Speech(
        "gemma3_text",
        turns(*GEMMA, "<start_function_call>", "<start_of_turn>model\n"),
        HELLO % "functiongemma",
        "<start_function_call>¦call:get_weather{¦city:<escape>¦Oslo<escape>}¦<end_function_call>",
        False,
    ),
    "deepseek_v3": Speech(
        "deepseek_v3",
        turns("<｜", "｜>", "", DEEPSEEK, "<｜Assistant｜>"),
        HELLO % "deepseek",
        DEEPSEEK_CALL,
        False,
        NO_PARSER,
    ),
    "gpt_oss": Speech(
        "gpt_oss",
        HARMONY,
        "<|channel|>¦analysis¦<|message|>¦A greeting¦ it "
        "is.¦<|end|>¦<|start|>¦assistant¦<|channel|>final¦<|message|>" + HELLO % "gpt_oss",
        "<|channel|>analysis¦<|message|>The¦ weather.¦<|end|><|start|>¦assistant" + HARMONY_CALL,
        True,
    ),
    "glm4_moe": Speech(
        "glm4_moe",
        "[gMASK]<sop>" + KEEPS + turns("<|", "|>\n", "", GLM, "<|assistant|>"),
        "\n<think>¦A greeting¦ it is.¦</think>¦\n¦" + HELLO % "glm",
        "\n<think>The¦ weather.¦</think>\n¦" + GLM_CALL,
        True,
    ),
    "glm4_moe_lite": Speech(
        "glm4_moe_lite",
        "[gMASK]<sop>" + turns("<|", "|>", "", GLM, "<|assistant|><think>"),
        "A greeting¦ it is.¦</think>¦" + HELLO % "glm",
        "The¦ weather.¦</think>\n¦" + GLM_CALL,
        True,
    ),
    "kimi_k2": Speech(
        "kimi_k2",
        turns(
            "<|im_system|>",
            "<|im_middle|>",
            "<|im_end|>",
            "<|tool_calls_section_begin|>",
            "<|im_assistant|>",
        ),
        HELLO % "kimi",
        KIMI_CALL,
        False,
        "tool calls stay text: kimi_k2, the parser for them, loses streamed answers",
    ),
    "minimax_m2": Speech(
        "minimax_m2",
        turns("]~b]", "\n", "[e~[\n", MINIMAX, "]~b]ai\n<think>\n"),
        THOUGHT + HELLO % "minimax",
        WANTED + MINIMAX_CALL,
        True,
    ),
    "nemotron_h": Speech(
        "nemotron_h",
        chatml(FUNCTION, "<think>\n"),
        THOUGHT + HELLO % "nemotron",
        WANTED + FUNCTION_CALL,
        True,
    ),
    "step3p5": Speech(
        "step3p5",
        chatml(FUNCTION, "<think>\n"),
        THOUGHT + HELLO % "step",
        WANTED + FUNCTION_CALL,
        True,
    ),
    "solar_open": Speech(
        "solar_open",
        turns(
            "<|begin|>",
            "<|content|>",
            "<|end|>",
            "<|think|> <|tool_call:begin|>",
            "<|begin|>assistant",
        ),
        "<|think|>¦A greeting¦ it is.¦<|end|>¦<|begin|>assistant¦<|content|>¦" + HELLO % "solar",
        "<|think|>The¦ weather.¦<|end|>" + SOLAR_CALL,
        True,
        "streamed thoughts are dropped; beside a call that is not streamed stands a rest of its "
        "markup",
    ),
}
