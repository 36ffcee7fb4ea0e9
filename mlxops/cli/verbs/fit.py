"""The verb fit: does a model fit into memory?"""

from __future__ import annotations

import click

from ...agent.errors import from_wire
from ...agent.wire import values
from ...render.fit import fit as fit_text
from .. import options
from ..run import Answer, Run
from ..verb import verb
from ..words.models import model_at
from ..words.ports import port_word


@verb(
    "fit",
    "mlxops fit jerry-xl 8100",
    "mlxops fit mlx-community/Qwen3-Coder-30B-A3B-4bit --context 131072",
    "mlxops fit gpt-oss --json | jq .result.largest_context_tokens",
    "mlxops fit gpt-oss --host studio,studio2",
    reads=True,
)
@options.model()
@options.port(metavar="[PORT]", required=False)
@click.option(
    "--context",
    type=options.WholeNumber(1, values.MAX_CONTEXT),
    metavar="TOKENS",
    help="Context length in tokens (default: as load would use).",
)
@options.revision()
def fit(
    run: Run, model: str, port: str | None, context: int | None, revision: str | None
) -> Answer:
    """Check whether MODEL fits into memory, before any download, and show the arithmetic.

    With PORT, the memory of the server there counts as free. If MODEL does not fit, the fewest
    ports to unload are named, and the exit status is 10."""
    word = model_at(model, revision)
    args = {
        "model": word.name,
        "port": port_word(run.host, port) if port else None,
        "context": context,
        "revision": word.revision,
    }
    result = run.call("fit", args)
    refused = result.pop("refused", None)
    return Answer(result, fit_text, from_wire(refused) if refused else None)
