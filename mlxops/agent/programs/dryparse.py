"""What a program says of the values in its command line before it starts: a trial that ends with
its help."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Callable, Optional, Sequence

from ..runtimes.grammar import ARGPARSE, grammar
from .find import answer_path, fingerprint, read_answer, run_program, save_answer

TIMEOUT_S = 30.0
# argparse ends with this status, and with a line "PROG: error: WHY".
USAGE_ERROR = 2
_ERROR = re.compile(r"^[^\n]{1,300}: error: ([^\n]{1,500})$", re.M)
ACCEPTED = "taken"


def parse_error(
    help_of_program: str,
    words: Sequence[str],
    args: Sequence[str],
    state_dir: str,
    say: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> str:
    """Why the program would refuse these words, as it says itself; "" where it does not, or where
    it cannot be tried.

    argparse takes options in their order: a value that it refuses ends it before the --help behind
    it. click prints the help first, so a program of another make is not tried."""
    known = grammar(help_of_program)
    # Behind a bare --, the --help would be a word like any other, and the server would start.
    if (
        not args
        or known is None
        or known.style != ARGPARSE
        or "--" in args
        or "--help" not in known.options
    ):
        return ""
    asked = [*words, *args, "--help"]
    kept = answer_path(state_dir, fingerprint([*asked, "dry parse"]))
    said = read_answer(kept)
    if said is None:
        say("asking %s whether it takes the args" % os.path.basename(words[0]))
        said = _tried(asked, check)
        if said is None:
            return ""
        save_answer(kept, said)
    return "" if said == ACCEPTED else said


def _tried(asked: Sequence[str], check: Callable[[], None]) -> Optional[str]:
    """None where the trial shows nothing."""
    try:
        status, output = run_program(asked, check, TIMEOUT_S)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if status == 0:
        return ACCEPTED
    found = _ERROR.findall(output.decode("utf-8", "replace"))
    return found[-1] if status == USAGE_ERROR and found else None
