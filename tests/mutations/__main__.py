"""`python -m tests.mutations [WORD ...]`: every mutant, or those with one of the words in their
name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .mutant import Mutant
from .mutants import MUTANTS
from .trial import FAILED, PASSED, Copy, copy


def main(words: Sequence[str]) -> int:
    chosen = [
        mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)
    ]
    with copy() as tree:
        control = tree.run(sorted({test for mutant in chosen for test in mutant.tests}))
        print(f"{control.seconds:6.1f} s  {control.verdict:9} the code as it is", flush=True)
        if control.status != PASSED:
            print(control.said)
            return 1
        survivors = [mutant.name for mutant in chosen if not missed(tree, mutant)]
    print(
        f"{len(chosen)} mutants, {len(survivors)} that no test misses"
        + "".join(f"\n  {name}" for name in survivors)
    )
    return 1 if survivors else 0


def missed(tree: Copy, mutant: Mutant) -> bool:
    """Whether its tests fail without the safeguard."""
    outcome = tree.without(mutant)
    print(f"{outcome.seconds:6.1f} s  {outcome.verdict:9} {mutant.name}", flush=True)
    if outcome.status not in (PASSED, FAILED):
        print(outcome.said)
    return outcome.status == FAILED


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument(
        "word",
        nargs="*",
        help="run the mutants with one of these words in their name; default: all",
    )
    sys.exit(main(parser.parse_args().word))
