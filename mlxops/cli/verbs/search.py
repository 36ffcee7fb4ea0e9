"""The verb search."""

from __future__ import annotations

import click

from ...interrupts import raise_on
from ...render.search import LISTING, model_table
from .. import options
from ..run import Answer, Run
from ..verb import verb


@verb("search", "mlxops search qwen3 4bit", "mlxops search gpt-oss --limit 5 --json", together=True)
@click.argument("terms", nargs=-1, required=True, metavar="WORD...")
@click.option(
    "--limit",
    type=options.WholeNumber(1, 100),
    default=20,
    metavar="N",
    help="Number of results, 1 to 100 (default 20).",
)
@options.listing(LISTING)
def search(run: Run, terms: tuple[str, ...], limit: int) -> Answer:
    """Search the Hugging Face Hub for MLX models, most downloaded first."""
    from ...hub import search as found

    with raise_on(1):
        return Answer({"models": found(" ".join(terms), limit)}, model_table)
