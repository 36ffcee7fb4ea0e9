"""What the installed runtime would reject of an entry, known before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.models.rejections import Rejection, find_rejections
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES, parse_help

HELP = Path(__file__).parents[2] / "fixtures" / "help"
OPENAI, LIGHT = RUNTIMES["mlx-openai-server"], RUNTIMES["mlx_lm.server"]
OPENAI_HELP = parse_help((HELP / "mlx-openai-server-1.8.1.txt").read_text())
LIGHT_HELP = parse_help((HELP / "mlx_lm.server-0.32.2.txt").read_text())


def refused(
    runtime: Any = OPENAI, known: Any = OPENAI_HELP, **fields: Any
) -> tuple[Rejection, ...]:
    return find_rejections(
        runtime, Entry("a", {**REQUIRED, **fields}), known, lambda path: path == "/t"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"chat_template": "/t", "tool_call_parser": "harmony", "reasoning_parser": "harmony"},
        {"args": ["--seed", "7", "--top-p=0.5", "--debug"]},
    ],
)
def test_what_it_would_accept_is_not_refused(fields: dict[str, Any]):
    assert refused(**fields) == ()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tool_call_parser", "Hermes", "--tool-call-parser Hermes is not one of functiongemma, "),
        (
            "reasoning_parser",
            "qwen3_coder",
            "--reasoning-parser qwen3_coder is not one of gemma4, ",
        ),
        ("chat_template", "/gone", "the chat template /gone does not exist"),
        ("args", ["--message-converter", "x"], "this version has no --message-converter"),
        ("args", ["--nope=1"], "this version has no --nope"),
        ("args", ["--port", "9000"], "--port cannot be used in args"),
        ("args", ["--host=::1"], "--host cannot be used in args"),
        ("args", ["--model-path", "/y"], "--model-path cannot be used in args"),
        ("args", ["--served-model-name", "y"], "--served-model-name cannot be used in args"),
    ],
)
def test_what_the_installed_version_would_not_accept_is_known_before(
    field: str, value: Any, reason: str
):
    (said,) = refused(**{field: value})
    assert said.field == field
    assert said.value == (value[0].split("=")[0] if isinstance(value, list) else value)
    assert said.reason.startswith(reason)


@pytest.mark.parametrize("field", ["chat_template", "tool_call_parser", "reasoning_parser"])
def test_a_setting_whose_flag_this_version_lacks_is_refused_and_not_dropped(field: str):
    flag = getattr(OPENAI, field)
    older = {name: choices for name, choices in OPENAI_HELP.items() if name != flag}
    value = "/t" if field == "chat_template" else "harmony"
    assert refused(OPENAI, older, **{field: value}) == (
        Rejection(field, value, f"this version has no {flag}"),
    )


def test_a_setting_the_runtime_never_had_is_not_its_business():
    assert refused(LIGHT, LIGHT_HELP, tool_call_parser="hermes", reasoning_parser="x") == ()
