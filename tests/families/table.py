"""docs/lab/families.md: what was run through the real server with which outcome, and the tables
behind the proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlxops.agent.formats.families import FAMILIES, MARKUPS, propose

from .server import Outcome
from .speech import SPEECHES, Speech

PAGE = Path(__file__).parent.parent.parent / "docs" / "lab" / "families.md"
HEAD = (
    "model",
    "`tool_call_parser`",
    "`reasoning_parser`",
    "answers",
    "calls",
    "without these flags",
    "what is lost",
)
FAMILY_HEAD = ("model_type", "tool", "reasoning", "run", "source")
MARKUP_HEAD = ("a template with", "parsers that read it", "source")


def proposed(speech: Speech) -> dict[str, str]:
    """The parsers that the server would get for this model if its help lists them all."""
    found = propose(speech.model_type, speech.template)
    parsers = {"tool_call_parser": found.tool[:1], "reasoning_parser": found.reasoning[:1]}
    return {key: value[0] for key, value in parsers.items() if value}


def flags_of(name: str) -> tuple[str, str, str]:
    """The first cells of a model's row, which depend only on the tables."""
    fields = proposed(SPEECHES[name])
    return name, code(fields.get("tool_call_parser", "")), code(fields.get("reasoning_parser", ""))


def row(name: str, flagged: Outcome, bare: Outcome) -> tuple[str, ...]:
    return (
        *flags_of(name),
        both(flagged.answers),
        both(flagged.calls),
        seen(bare),
        SPEECHES[name].lost or "-",
    )


def both(fine: tuple[bool, bool]) -> str:
    if fine[0] is fine[1]:
        return "right" if fine[0] else "wrong"
    return "plain only" if fine[0] else "streamed only"


def seen(bare: Outcome) -> str:
    """What a client receives wrongly without the flags."""
    if bare.tags:
        return " ".join(code(tag) for tag in bare.tags)
    return "the same" if bare.right else "calls stay text"


def code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else "-"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)
    )


def known() -> str:
    """The tables behind the proposals."""
    run = {speech.model_type for speech in SPEECHES.values()}
    families = [
        (code(name), code(f.tool), code(f.thinks), "yes" if name in run else "read only", f.source)
        for name, f in FAMILIES.items()
    ]
    markups = [
        (
            " ".join(map(code, m.marks)),
            ", ".join(map(code, m.parsers)) or m.flaw or "none has one",
            m.source,
        )
        for m in MARKUPS
    ]
    return f"{lines(FAMILY_HEAD, families)}\n\n{lines(MARKUP_HEAD, markups)}\n"


def page(rows: Sequence[Sequence[str]]) -> str:
    """The page with these rows, and with the current tables instead of those it has."""
    text = _placed(PAGE.read_text("utf-8"), "run", lines(HEAD, rows) + "\n")
    return _placed(text, "known", known())


def _placed(text: str, part: str, content: str) -> str:
    begin, end = f"<!-- begin {part} -->\n", f"<!-- end {part} -->"
    before, _, rest = text.partition(begin)
    return before + begin + content + end + rest.partition(end)[2]


def read() -> Mapping[str, tuple[str, ...]]:
    """The rows of the page's first table, by model."""
    text = PAGE.read_text("utf-8")
    cells = [tuple(line[2:-2].split(" | ")) for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row for row in cells if row[0] in SPEECHES}
