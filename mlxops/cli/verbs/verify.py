"""The verb verify."""

from __future__ import annotations

from ...render.verify import LISTING, verify_details, verify_problems, verify_result
from .. import options
from ..check_errors import verify_error
from ..run import Answer, Run
from ..verb import verb
from ..words.ports import port_words


@verb(
    "verify",
    "mlxops verify",
    "mlxops verify 8100 jerry-l --timeout 600",
    "mlxops verify -v 8100        # every check, also those that passed",
    "mlxops verify -q || echo 'the Studio needs a look'",
    "mlxops verify --json | jq '.result.ports[] | {port, ok, tokens_per_s}'",
    reads=True,
)
@options.port("ports", nargs=-1, metavar="[PORT]...")
@options.timeout("Time limit per port (default 300).")
@options.listing(LISTING)
def verify(run: Run, ports: tuple[str, ...], timeout_s: float | None) -> Answer:
    """Test servers with real requests: name, speed, reasoning, tool calls, leaked tags, plain and
    streamed answers, and flags against the entry.

    Without PORT: every port in use, one after another, and whether each entry can be started.

    Exit 11 if something is wrong, 1 if something could not be tested. With -q, only that is
    shown."""
    result = run.call(
        "verify",
        {"ports": port_words(run.host, ports) or None, "timeout_s": timeout_s},
    )
    verbose = run.flags.verbose
    error = verify_error(result, verbose)
    quiet = verify_problems if run.flags.quiet else verify_result
    return Answer(result, verify_details if verbose else quiet, error)
