"""The verb about memory."""

from __future__ import annotations

import click

from ..agent.errors import from_wire
from ..agent.wire import values
from ..render.fit import fit as fit_text
from . import options
from .run import Answer, Run
from .verb import verb


@verb(
    "fit",
    "mlxops fit jerry-xl 8100",
    "mlxops fit mlx-community/Qwen3-235B-A22B-Instruct-2507-6bit --context 131072",
    "mlxops fit gpt-oss --json | jq .result.largest_context_tokens",
)
@click.argument("model")
@options.port(metavar="[PORT]", required=False)
@click.option(
    "--context",
    type=click.IntRange(1, values.MAX_CONTEXT),
    metavar="N",
    help="Tokens of a context; default: as by load.",
)
@click.option("--revision", metavar="R", help="Branch, tag or commit; default: main.")
def fit(run: Run, model: str, port: str | None, **more: object) -> Answer:
    """Tell whether MODEL would fit into memory, with the arithmetic, before any download. Exit 10:
    it would not.

    On PORT, whose server counts as gone. Where it does not fit: the fewest ports whose unload makes
    room."""
    result = run.call(
        "fit", {"model": model, "port": run.host.port_word(port) if port else None, **more}
    )
    refused = result.pop("refused", None)
    return Answer(result, fit_text, from_wire(refused) if refused else None)
