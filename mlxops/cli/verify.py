"""The verb that puts servers to the proof."""

from __future__ import annotations

from ..render.verify import verify_details, verify_result
from . import options
from .check_errors import verify_error
from .run import Answer, Run
from .verb import verb


@verb(
    "verify",
    "mlxops verify",
    "mlxops verify 8100 jerry-l --timeout 600",
    "mlxops verify -v 8100                       # every check, also those that are right",
    "mlxops verify -q || echo look at it",
    "mlxops verify --json | jq '.result.ports[] | {port, ok, tokens_per_s}'",
)
@options.port("ports", nargs=-1, metavar="[PORT]...")
@options.timeout("Seconds the requests to one port may take together; default: 300.")
def verify(run: Run, ports: tuple[str, ...], timeout_s: float | None) -> Answer:
    """Put servers to the proof with real requests.

    Looked at are name, pace, reasoning, a tool call, raw tags, plain answers against streamed ones,
    and the command line against the entry. Without a port: all that have something on them, one
    after another, and whether each entry would be started.

    Exits with 11 where something is wrong, with 1 where something could not be examined."""
    result = run.call(
        "verify",
        {"ports": [run.host.port_word(word) for word in ports] or None, "timeout_s": timeout_s},
    )
    return Answer(
        result, verify_details if run.flags.verbose else verify_result, verify_error(result)
    )
