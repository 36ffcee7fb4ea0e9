"""The verb search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...agent.errors import Usage
from ...interrupts import raise_on
from ...render.search import LISTING, model_table
from .. import options
from ..run import Answer, Run
from ..verb import verb

if TYPE_CHECKING:
    from ...hub import Access


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

    access = _access(run)
    with raise_on(1):
        return Answer(
            {"models": found(" ".join(terms), limit, access.endpoint, access.token)}, model_table
        )


def _access(run: Run) -> Access:
    """The Hub of the host in use. Without one, or with several and none chosen, this machine's."""
    from ...hub import Access, access_of

    try:
        return access_of(run.host)
    except Usage:
        if run.flags.first_host:
            raise
        return Access()
