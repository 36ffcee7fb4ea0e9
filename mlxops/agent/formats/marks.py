"""The marks that model families write around tool calls, reasoning and turns. Clients must never
see them: the right parsers remove them. Pure data.

Sources: the parsers of mlx-openai-server 1.8.1 (`app/parsers`), the tool parsers of mlx-lm 0.32.2
(`mlx_lm/tool_parsers`), and the chat templates and special tokens on the model cards of each
family. `programs/marks.py` adds those of the installed mlx-lm."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Tuple


class Marks(NamedTuple):
    """`calls`: around tool calls, the opening one first; `others`: around reasoning and turns."""

    calls: Tuple[str, ...] = ()
    others: Tuple[str, ...] = ()


# A mark that several families share is listed once.
FAMILY_MARKS: Mapping[str, Marks] = {
    "thinking": Marks(
        others=(
            "<think>",
            "</think>",
            "<thinking>",
            "</thinking>",
            "<longcat_think>",
            "</longcat_think>",
        )
    ),
    "hermes": Marks(("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")),
    "qwen": Marks(
        ("<function=", "</function>", "<parameter="),
        ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    ),
    "harmony": Marks(
        ("<|call|>", "<|constrain|>"),
        ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>"),
    ),
    "glm": Marks(
        ("<arg_key>", "<arg_value>", "</arg_value>"),
        ("<|user|>", "<|assistant|>", "<|observation|>", "[gMASK]"),
    ),
    "minimax": Marks(
        ("<minimax:tool_call>", "</minimax:tool_call>", "<invoke name="),
        ("[e~[", "]~b]"),
    ),
    "kimi": Marks(
        (
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
            "<|tool_call_begin|>",
            "<|tool_call_argument_begin|>",
        ),
        ("<|im_assistant|>", "<|im_middle|>", "[EOS]"),
    ),
    "kimi k3": Marks(("<|open|>", "<|sep|>", "<|close|>"), ("<|end_of_msg|>",)),
    "longcat": Marks(
        (
            "<longcat_tool_call>",
            "</longcat_tool_call>",
            "<longcat_arg_key>",
            "<longcat_arg_value>",
        )
    ),
    "solar": Marks(
        ("<|tool_call:begin|>", "<|tool_call:name|>", "<|tool_call:end|>"),
        ("<|think|>", "<|content|>"),
    ),
    "gemma": Marks(
        (
            "<start_function_call>",
            "<end_function_call>",
            "<escape>",
            "<|tool_call>",
            "<tool_call|>",
            '<|"|>',
        ),
        (
            "<start_of_turn>",
            "<end_of_turn>",
            "<|channel>",
            "<channel|>",
            "<|turn>",
            "<turn|>",
        ),
    ),
    "llama": Marks(
        ("<|python_tag|>", "<|python_start|>", "<|python_end|>"),
        (
            "<|eom_id|>",
            "<|eot_id|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|header_start|>",
            "<|header_end|>",
            "<|eom|>",
            "<|eot|>",
        ),
    ),
    "mistral": Marks(
        ("[TOOL_CALLS]", "[ARGS]"), ("[INST]", "[/INST]", "[THINK]", "[/THINK]", "</s>")
    ),
    "deepseek": Marks(
        (
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁end｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁call▁end｜>",
            "<｜tool▁sep｜>",
            "<｜DSML｜",
            "</｜DSML｜",
        ),
        ("<｜Assistant｜>", "<｜User｜>", "<｜end▁of▁sentence｜>"),
    ),
    "nemotron 2": Marks(("<TOOLCALL>", "</TOOLCALL>")),
    "lfm2": Marks(
        (
            "<|tool_call_start|>",
            "<|tool_call_end|>",
            "<|tool_list_start|>",
            "<|tool_list_end|>",
        ),
        ("<|tool_response_start|>", "<|tool_response_end|>"),
    ),
    "seed": Marks(
        ("<seed:tool_call>", "</seed:tool_call>"),
        ("<seed:think>", "</seed:think>", "<seed:bos>", "<seed:eos>"),
    ),
    "cohere": Marks(
        ("<|START_ACTION|>", "<|END_ACTION|>", "<|START_TOOL_RESULT|>", "<|END_TOOL_RESULT|>"),
        (
            "<|START_THINKING|>",
            "<|END_THINKING|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>",
            "<|START_TEXT|>",
            "<|END_TEXT|>",
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
        ),
    ),
    "apertus": Marks(
        ("<|tools_prefix|>", "<|tools_suffix|>"),
        (
            "<|inner_prefix|>",
            "<|inner_suffix|>",
            "<|assistant_start|>",
            "<|assistant_end|>",
        ),
    ),
    "muse": Marks(
        (
            "<atem:function_calls>",
            "</atem:function_calls>",
            "<atem:invoke",
            "<atem:parameter",
        )
    ),
    "minicpm 5": Marks(("<function name=", "<param name=")),
    "hunyuan": Marks(("<tool_calls>", "</tool_calls>")),
    "phi 4": Marks(("<|tool_call|>", "<|/tool_call|>"), ("<|tool_response|>",)),
    "granite": Marks((), ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>")),
    "olmo 3": Marks(("<function_calls>", "</function_calls>")),
    "think:start": Marks((), ("<|think:start|>", "<|think:end|>")),
}
ALL_MARKS: Tuple[str, ...] = tuple(
    mark for marks in FAMILY_MARKS.values() for mark in (*marks.calls, *marks.others)
)


def call_marks(template: str) -> Tuple[str, ...]:
    """The marks around tool calls that a template of a known family contains; () if none."""
    held = [tuple(mark for mark in m.calls if mark in template) for m in FAMILY_MARKS.values()]
    return max(held, key=len, default=())
