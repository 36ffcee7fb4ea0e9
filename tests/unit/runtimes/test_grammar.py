"""Which words of `args` a program would reject, by the kind of help that it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxops.agent.runtimes.grammar import find_faults, grammar

HELP = Path(__file__).parents[2] / "fixtures" / "help"
CLICK = (HELP / "mlx-openai-server-1.8.1.txt").read_text()
ARGPARSE = (HELP / "mlx_lm.server-0.32.2.txt").read_text()
OPEN = (HELP / "vllm-serve-by-its-source.txt").read_text()


def told(help_text: str, line: str) -> list[str]:
    known = grammar(help_text)
    assert known is not None
    return [fault.why for fault in find_faults(known, line.split())]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--max-tokens notanumber", "--max-tokens notanumber: notanumber is not a whole number"),
        ("--max-tokens=1.5", "--max-tokens 1.5: 1.5 is not a whole number"),
        ("--max-tokens --debug", "--max-tokens --debug: --debug is not a whole number"),
        ("--top-p abc", "--top-p abc: abc is not a number"),
        ("--debug --max-tokens", "--max-tokens needs a value"),
        (
            "--log-level LOUD",
            "--log-level LOUD is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
        ("--debug stray", "stray belongs to no option"),
        ("stray --seed 7", "stray belongs to no option"),
        ("--debug=1", "--debug takes no value"),
    ],
)
def test_what_click_would_refuse(line: str, why: str) -> None:
    assert told(CLICK, line) == [why]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--max-tokens", "--max-tokens needs a value"),
        ("--max-tokens --pipeline", "--max-tokens needs a value"),
        (
            "--log-level LOUD",
            "--log-level LOUD is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
        ("--pipeline stray", "stray belongs to no option"),
        ("--pipeline=yes", "--pipeline takes no value"),
    ],
)
def test_what_argparse_would_refuse(line: str, why: str) -> None:
    assert told(ARGPARSE, line) == [why]


@pytest.mark.parametrize(
    ("help_text", "line"),
    [
        (
            CLICK,
            "--max-tokens -1 --top-p 1e-3 --log-level debug --served-model-name -x --no-log-file "
            "--debug",
        ),
        (CLICK, "--quite-new 7 more -x y"),
        (
            ARGPARSE,
            "--max-tokens -1 --temp 0.5 --log-level=INFO --pipeline --chat-template-args {} "
            "--model -",
        ),
        (
            OPEN,
            "word --served-model-name a b c --no-enable-auto-tool-choice --tool-call-parser own",
        ),
        (CLICK.replace("[OPTIONS]", "[OPTIONS] MODEL"), "a word"),
        (
            ARGPARSE.replace("--kv-bits KV_BITS ", "--kv-bits [KV_BITS] "),
            "--kv-bits --pipeline --kv-bits 4",
        ),
        (
            ARGPARSE.replace("--kv-bits KV_BITS ", "--kv-bits A [A ...] "),
            "--kv-bits 4 8 16 --pipeline",
        ),
        (ARGPARSE.replace("options:\n", "settings:\n  model    the model\n"), "word"),
    ],
)
def test_what_is_taken_or_cannot_be_known_is_not_refused(help_text: str, line: str) -> None:
    assert told(help_text, line) == []


@pytest.mark.parametrize(
    "text",
    ["", "--port PORT", "Usage: x [OPTIONS]\n\n╭─ Options ─╮\n│ --port INTEGER │\n", "usage"],
)
def test_another_layout_tells_nothing(text: str) -> None:
    known = grammar(text)
    assert known is None or list(find_faults(known, ["--port", "x", "y"])) == []
