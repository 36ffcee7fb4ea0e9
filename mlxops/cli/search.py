"""The verb that looks for models on the Hub."""

from __future__ import annotations

import click

from ..interrupts import raise_on
from ..render.search import model_table
from .run import Answer, Run
from .verb import verb


@verb("search", "mlxops search qwen3 4bit", "mlxops search gpt-oss --limit 5 --json")
@click.argument("terms", nargs=-1, required=True, metavar="WORD...")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, metavar="N")
def search(run: Run, terms: tuple[str, ...], limit: int) -> Answer:
    """MLX models of the Hugging Face Hub whose name has these words, the most downloaded first."""
    from ..hub import search as found

    with raise_on(1):
        return Answer({"models": found(" ".join(terms), limit)}, model_table)
