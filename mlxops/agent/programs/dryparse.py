"""Check a command line by running the program with it and --help, so that it parses but does not
start."""

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
    """The error of the program about these words; "" if it accepts them or cannot be tried.

    argparse reads options in order: it stops at a bad value before it reaches --help. click prints
    the help first, so only programs that use argparse are tried."""
    known = grammar(help_of_program)
    # After a bare --, --help would be a positional argument, and the server would start.
    if (
        not args
        or known is None
        or known.style != ARGPARSE
        or "--" in args
        or "--help" not in known.options
    ):
        return ""
    command = [*words, *args, "--help"]
    path = answer_path(state_dir, fingerprint([*command, "dry parse"]))
    answer = read_answer(path)
    if answer is None:
        say("checking the args with %s" % os.path.basename(words[0]))
        answer = _try(command, check)
        if answer is None:
            return ""
        save_answer(path, answer)
    return "" if answer == ACCEPTED else answer


def _try(command: Sequence[str], check: Callable[[], None]) -> Optional[str]:
    """The error, or ACCEPTED; None if the trial proves nothing."""
    try:
        status, output = run_program(command, check, TIMEOUT_S)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if status == 0:
        return ACCEPTED
    errors = _ERROR.findall(output.decode("utf-8", "replace"))
    return errors[-1] if status == USAGE_ERROR and errors else None
