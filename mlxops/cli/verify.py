"""The verb that puts servers to the proof."""

from __future__ import annotations

from ..render.verify import every_check, verified
from . import options as words
from .findings import proven
from .invocation import Answer, Invocation
from .verb import verb


@verb(
    "verify",
    "mlxops verify",
    "mlxops verify 8100 jerry-l --timeout 600",
    "mlxops verify -v 8100                       # every check, also those that are right",
    "mlxops verify -q || echo look at it",
    "mlxops verify --json | jq '.result.ports[] | {port, ok, tokens_per_s}'",
)
@words.port("wanted", nargs=-1, metavar="[PORT]...")
@words.timeout("Seconds the requests to one port may take together; default: 300.")
def verify(it: Invocation, wanted: tuple[str, ...], timeout_s: float | None) -> Answer:
    """Put servers to the proof with real requests.

    Looked at are name, pace, reasoning, a tool call, raw tags, plain answers against streamed ones,
    and the command line against the entry. Without a port: all that have something on them, one
    after another, and whether each entry would be started.

    Exits with 11 where something is wrong, with 1 where something could not be examined."""
    result = it.ask(
        "verify",
        {"ports": [it.host.port_word(word) for word in wanted] or None, "timeout_s": timeout_s},
    )
    return Answer(result, every_check if it.flags.verbose else verified, proven(result))
