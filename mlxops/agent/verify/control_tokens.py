"""Control tokens of model families, which clients must never see: the right parsers remove them.
Pure.

Sources: the parsers of mlx-openai-server 1.8.1 (`app/parsers`), the tool parsers of mlx-lm 0.31.3
(`mlx_lm/tool_parsers`), and the chat templates and special tokens on the model cards of each
family."""

from __future__ import annotations

from typing import Mapping, Tuple

# family -> its tokens; a token that several families share is listed once
CONTROL_TOKENS: Mapping[str, Tuple[str, ...]] = {
    "thinking": (
        "<think>",
        "</think>",
        "<thinking>",
        "</thinking>",
        "<longcat_think>",
        "</longcat_think>",
    ),
    "hermes": ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    "qwen": (
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<function=",
        "</function>",
        "<parameter=",
    ),
    "harmony": (
        "<|channel|>",
        "<|message|>",
        "<|start|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|constrain|>",
    ),
    "glm": (
        "<arg_key>",
        "<arg_value>",
        "</arg_value>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "[gMASK]",
    ),
    "minimax": ("<minimax:tool_call>", "</minimax:tool_call>", "<invoke name=", "[e~["),
    "kimi": (
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
        "<|tool_call_begin|>",
        "<|tool_call_end|>",
        "<|tool_call_argument_begin|>",
        "<|im_assistant|>",
        "<|im_middle|>",
        "[EOS]",
    ),
    "longcat": (
        "<longcat_tool_call>",
        "</longcat_tool_call>",
        "<longcat_arg_key>",
        "<longcat_arg_value>",
    ),
    "solar": (
        "<|think|>",
        "<|content|>",
        "<|tool_call:begin|>",
        "<|tool_call:name|>",
        "<|tool_call:end|>",
    ),
    "gemma": (
        "<start_of_turn>",
        "<end_of_turn>",
        "<start_function_call>",
        "<end_function_call>",
        "<escape>",
        "<|channel>",
        "<channel|>",
        "<|tool_call>",
        "<tool_call|>",
        "<|turn>",
        "<turn|>",
        '<|"|>',
    ),
    "llama": (
        "<|python_tag|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
    ),
    "mistral": ("[TOOL_CALLS]", "[ARGS]", "[INST]", "[/INST]", "[THINK]", "[/THINK]", "</s>"),
    "deepseek": (
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
        "<｜Assistant｜>",
        "<｜User｜>",
        "<｜end▁of▁sentence｜>",
    ),
}


def find_leaks(text: str) -> Tuple[str, ...]:
    """The control tokens in the content or reasoning of an answer, in the order of the table."""
    return tuple(tag for tags in CONTROL_TOKENS.values() for tag in tags if tag in text)
