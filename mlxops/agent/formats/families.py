"""The default parsers of each model family, as data. Pure.

The names are those of mlx-openai-server. They change between versions, so a parser is used only if
the help of the installed server lists it. docs/lab/families.md says how the families were tried."""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple, Tuple

from .marks import call_marks

CHECKED_WITH = "mlx-openai-server 1.8.1"
_PARSERS = "mlx-openai-server app/parsers"
_CARD = "the template on the model card"


class Family(NamedTuple):
    """The parsers of a `model_type`, "" for none: `tool`, made for its tool calls, and `thinks`,
    its reasoning parser if the model itself writes the opening tag. `source`: where that is
    documented."""

    tool: str
    thinks: str
    source: str


class Markup(NamedTuple):
    """A format of tool calls: the marks that show that a template uses it, and the parsers that
    read it, the simplest first; () if, as `flaw` says, none works."""

    name: str
    marks: Tuple[str, ...]
    parsers: Tuple[str, ...]
    source: str
    flaw: str = ""


MAX_NAMED_MARKS = 2
UNKNOWN = Family("", "", "")
_QWEN = _PARSERS + "/qwen3.py, hermes.py"
FAMILIES: Mapping[str, Family] = {
    "gemma4": Family("gemma4", "gemma4", _PARSERS + "/gemma4.py"),
    "gemma4_text": Family("gemma4", "gemma4", _PARSERS + "/gemma4.py"),
    "gemma4_unified": Family("gemma4", "gemma4", _PARSERS + "/gemma4.py"),
    "glm4_moe": Family("glm4_moe", "glm4_moe", _PARSERS + "/glm4_moe.py"),
    "glm4_moe_lite": Family("glm4_moe", "glm4_moe", _PARSERS + "/glm4_moe.py"),
    "glm_moe_dsa": Family("glm4_moe", "glm4_moe", _PARSERS + "/glm4_moe.py"),
    "gpt_oss": Family("harmony", "harmony", _PARSERS + "/harmony.py"),
    "iquestcoder": Family("iquest_coder_v1", "", _PARSERS + "/__init__.py"),
    "iquestloopcoder": Family("iquest_coder_v1", "", _PARSERS + "/__init__.py"),
    "kimi_k2": Family("", "kimi_k2", _PARSERS + "/__init__.py"),
    "kimi_k25": Family("", "kimi_k2", _PARSERS + "/__init__.py"),
    "longcat_flash_ngram": Family("longcat_flash_lite", "", _PARSERS + "/longcat_flash_lite.py"),
    "minimax": Family("minimax_m2", "", _PARSERS + "/minimax_m2.py"),
    "minimax_m2": Family("minimax_m2", "", _PARSERS + "/minimax_m2.py"),
    "nemotron_h": Family("nemotron3_nano", "", _PARSERS + "/function_parameter.py"),
    "qwen3": Family("qwen3", "qwen3", _QWEN),
    "qwen3_moe": Family("qwen3_moe", "qwen3", _QWEN),
    "qwen3_next": Family("qwen3", "qwen3", _QWEN),
    "qwen3_5": Family("qwen3_coder", "qwen3_5", _PARSERS + "/qwen3_5.py"),
    "qwen3_5_moe": Family("qwen3_coder", "qwen3_5", _PARSERS + "/qwen3_5.py"),
    "qwen3_vl": Family("qwen3_vl", "qwen3", _QWEN),
    "qwen3_vl_moe": Family("qwen3_vl", "qwen3", _QWEN),
    "solar_open": Family("solar_open", "solar_open", _PARSERS + "/solar_open.py"),
    "step3p5": Family("step_35", "", _PARSERS + "/function_parameter.py"),
}
# What those parsers read; the first match counts. `formats/marks.py` names all other formats.
MARKUPS: Tuple[Markup, ...] = (
    Markup("minimax", ("<minimax:tool_call>",), ("minimax_m2",), _PARSERS + "/minimax_m2.py"),
    Markup("gemma 4", ("<|tool_call>", "<tool_call|>"), ("gemma4",), _PARSERS + "/gemma4.py"),
    Markup(
        "functiongemma",
        ("<start_function_call>",),
        ("functiongemma",),
        _PARSERS + "/functiongemma.py",
    ),
    Markup(
        "longcat",
        ("<longcat_tool_call>",),
        ("longcat_flash_lite",),
        _PARSERS + "/longcat_flash_lite.py",
    ),
    Markup("glm", ("<arg_key>",), ("glm4_moe",), _PARSERS + "/glm4_moe.py"),
    Markup(
        "function",
        ("<tool_call>", "<function="),
        ("qwen3_coder", "nemotron3_nano", "step_35"),
        _PARSERS + "/function_parameter.py",
    ),
    Markup(
        name="kimi",
        marks=("<|tool_calls_section_begin|>",),
        parsers=(),
        source=_PARSERS + "/kimi_k2.py",
        flaw="its kimi_k2 parser loses every streamed answer",
    ),
    Markup("solar", ("<|tool_call:begin|>",), ("solar_open",), _PARSERS + "/solar_open.py"),
    Markup("harmony", ("<|channel|>", "<|message|>"), ("harmony",), _PARSERS + "/harmony.py"),
    Markup(
        name="hunyuan",
        marks=("<tool_calls>",),
        parsers=(),
        source=_CARD,
        flaw="hermes reads another form of <tool_call>",
    ),
    Markup(
        "json",
        ("<tool_call>", "arguments"),
        ("hermes", "qwen3", "qwen3_moe", "qwen3_vl", "iquest_coder_v1"),
        _PARSERS + "/hermes.py",
    ),
)
# For a template that writes <think> at the end of the prompt, so that the answer only closes it:
# the parser that follows `enable_thinking`, if the template has that switch, else the one that
# always expects an open <think>.
SWITCHED, OPENED = ("qwen3_5", "qwen3_moe"), ("qwen3_moe",)
THINKS = ("qwen3", "hermes")
# Reads only <tool_call>. With a reasoning parser and no tool parser, the server loses the content
# of answers that are not streamed.
COMPANION = "hermes"
# gpt-oss was trained on this format, whatever its template contains.
HARMONY = "harmony"

# The mark a template must contain for a family's own reasoning parser to be useful; <think> for
# the others.
MARKS: Mapping[str, str] = {"gemma4": "<|channel>", "harmony": "", "solar_open": "<|think|>"}
LITERAL = re.compile(r"\\n|[\s'\"~]")


def markup_of(template: str) -> Markup:
    """The format of tool calls that a template uses; one without a name if it is unknown."""
    fits = (markup for markup in MARKUPS if all(mark in template for mark in markup.marks))
    return next(fits, Markup("", (), (), ""))


def opens_thinking(template: str) -> bool:
    """Whether the prompt that the server renders from a template ends inside of <think>.

    mlx-lm passes enable_thinking to every template of a model that has the tag, but not `thinking`,
    the variable of DeepSeek."""
    tail = template.rpartition("add_generation_prompt")[2]
    # What follows the tag in the template: the end of its text, or the closing tag.
    follows = [LITERAL.sub("", after[:60]) for after in tail.split("<think>", 9)[1:]]
    if tail == template or not any(
        not rest or rest.startswith(("}", "{", "-", "%", "if")) for rest in follows
    ):
        return False
    return "enable_thinking" in template or not re.search(r"set thinking ?= ?false", template)


class Proposal(NamedTuple):
    """The parsers to use, best first, and why. `notes`: one sentence for each thing that is
    missing."""

    family: str
    tool: Tuple[str, ...]
    reasoning: Tuple[str, ...]
    tool_source: str
    reasoning_source: str
    notes: Tuple[str, ...]


def propose(model_type: str, template: str) -> Proposal:
    """Choose parsers by the `model_type` and the chat template of a model."""
    family, markup = FAMILIES.get(model_type, UNKNOWN), markup_of(template)
    tool, tool_source = _tool(model_type, family, template, markup)
    reasoning, reasoning_source = _reasoning(model_type, family, template)
    notes = () if tool else (_lack(model_type, template, markup),)
    if reasoning and not tool:
        tool, tool_source = (
            (COMPANION,),
            "a reasoning parser without a tool parser loses answers that are not streamed",
        )
    return Proposal(
        family=model_type,
        tool=tool,
        reasoning=reasoning,
        tool_source=tool_source,
        reasoning_source=reasoning_source,
        notes=notes,
    )


def _tool(
    model_type: str, family: Family, template: str, markup: Markup
) -> Tuple[Tuple[str, ...], str]:
    if family.tool and (family.tool == HARMONY or _reads(family.tool, template, markup)):
        others = (parser for parser in markup.parsers if parser != family.tool)
        return (family.tool, *others), "%s: %s" % (model_type, family.source)
    return markup.parsers, "its template uses the %s format: %s" % (markup.name, markup.source)


def _reads(parser: str, template: str, markup: Markup) -> bool:
    """Whether a family's parser reads the format of the template, or that shows none."""
    if markup.name:
        return parser in markup.parsers
    known = {mark for one in MARKUPS if parser in one.parsers for mark in one.marks}
    held = call_marks(template)
    return not held or bool(known & set(held))


def _reasoning(model_type: str, family: Family, template: str) -> Tuple[Tuple[str, ...], str]:
    if opens_thinking(template):
        return (
            SWITCHED if "enable_thinking" in template else OPENED,
            "its template opens <think> itself",
        )
    if family.thinks and (not template or MARKS.get(family.thinks, "think>") in template):
        return (family.thinks,), "%s: %s" % (model_type, family.source)
    return (THINKS, "its template contains <think>") if "<think>" in template else ((), "")


def _lack(model_type: str, template: str, markup: Markup) -> str:
    marks = markup.marks or call_marks(template)[:MAX_NAMED_MARKS]
    if not marks:
        return "no tool parser is known for model type %s" % (model_type or "unknown")
    return "tool calls with %s reach clients as text (%s: %s)" % (
        " ".join(marks),
        CHECKED_WITH,
        markup.flaw or "no parser for them",
    )
