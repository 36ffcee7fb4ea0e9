"""docs/lab/caches.md: the prompt caches of all model types, and of large models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from .figures import CASES, CHUNK, Asked, Filled
from .large import TOKENS

PAGE = Path(__file__).parents[3] / "docs" / "lab" / "caches.md"
TYPES_HEAD = ("model type", "caches", "mlx-lm's caches hold", "the probe says")
LARGE_HEAD = ("model", "cache", "CPU time, s", "peak memory")
# The row of a type shows the last case.
SHOWN = len(CASES) - 1


def types_table(figures: Mapping[str, tuple[Filled, Mapping[str, Asked]]]) -> str:
    return _table(TYPES_HEAD, (_row(name, *figures[name]) for name in sorted(figures)))


def _row(name: str, filled: Filled, asked: Mapping[str, Asked]) -> tuple[str, ...]:
    tokens, dtype = CASES[SHOWN]
    description = asked[dtype].description
    if description.cache is None:
        return f"`{name}`", "-", "cannot be built", description.refusal
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(filled.kinds.items()))
    said = description.cache.bytes(tokens, CHUNK)
    return f"`{name}`", kinds, f"{filled.sizes[SHOWN]:,}", f"{said:,}"


def large_table(asked: Mapping[str, Asked]) -> str:
    return _table(LARGE_HEAD, (_large_row(name, asked[name]) for name in asked))


def _large_row(name: str, asked: Asked) -> tuple[str, ...]:
    return name, large_size(asked), f"{asked.seconds:.1f}", f"{asked.peak / 1e6:.0f} MB"


def large_size(asked: Asked) -> str:
    cache = asked.description.cache
    return f"{cache.bytes(TOKENS) / 1e9:.2f} GB" if cache else asked.description.refusal


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def written(name: str) -> str:
    """The table of that name on the page."""
    return PAGE.read_text("utf-8").split(_begin(name))[1].split(_end(name))[0].strip("\n")


def held() -> dict[str, int]:
    """Model type -> the bytes that mlx-lm's caches hold."""
    rows = [line.strip("| ").split(" | ") for line in written("types").splitlines()[2:]]
    return {row[0].strip("`"): int(row[2].replace(",", "")) for row in rows if row[2][0].isdigit()}


def write(name: str, table: str) -> None:
    before, rest = PAGE.read_text("utf-8").split(_begin(name))
    after = rest.split(_end(name))[1]
    PAGE.write_text(f"{before}{_begin(name)}\n{table}\n{_end(name)}{after}", "utf-8")


def _begin(name: str) -> str:
    return f"<!-- begin {name} -->"


def _end(name: str) -> str:
    return f"<!-- end {name} -->"
