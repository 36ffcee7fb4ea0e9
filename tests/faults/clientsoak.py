"""`python -m tests.faults.clientsoak -n N`: inject N faults and signals at steps of the client, and
report the outcomes."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

from tabulate import tabulate

from .agentcall import KILLING, Blow
from .clientcampaign import SIGNALS, Desks, desks, faults, presses, sample
from .clientcases import COMMANDS, ClientCase
from .clienttrial import interrupt, strike, too_late
from .trial import Outcome

HEADS = ("command", "kill -9", "errno", "signals", "struck", "not met", "violations")


def main() -> int:
    asked = arguments()
    dice = random.Random(asked.seed)
    began = time.monotonic()
    share = -(-asked.n // len(asked.commands))
    with desks(asked.jobs) as farm:
        outcomes = [
            one for name in asked.commands for one in trials(farm, COMMANDS[name], share, dice)
        ]
    print(table(outcomes))
    print(f"\nseed {asked.seed}, {time.monotonic() - began:.0f} s")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.clientsoak", description=__doc__)
    parser.add_argument("-n", type=int, default=500, help="how many faults and signals, about")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="trials at the same time")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("commands", nargs="*", choices=[[], *COMMANDS], help="these only")
    asked = parser.parse_args()
    asked.commands = asked.commands or list(COMMANDS)
    return asked


def trials(farm: Desks, case: ClientCase, count: int, dice: random.Random) -> list[Outcome]:
    """Half of them faults, half of them signals."""
    wanted = sample(faults(farm.steps(case)), count // 2, dice)
    outcomes = farm.each(strike, case, wanted, tell)
    moments = farm.steps(case, moments=True)
    pressed = sample(presses(moments, dice), count - len(wanted), dice)
    outcomes += farm.each(interrupt(too_late(moments)), case, pressed, tell)
    print(f"{case.name}: {len(wanted)} faults, {len(pressed)} signals", file=sys.stderr, flush=True)
    return outcomes


def tell(outcome: Outcome) -> None:
    if outcome.violations:
        print(outcome, file=sys.stderr, flush=True)


def table(outcomes: Sequence[Outcome]) -> str:
    names = dict.fromkeys(outcome.case for outcome in outcomes)
    rows = [[name, *_counts([o for o in outcomes if o.case == name])] for name in names]
    return tabulate([*rows, ["all", *_counts(outcomes)]] if len(rows) > 1 else rows, headers=HEADS)


def _counts(outcomes: Sequence[Outcome]) -> list[int]:
    struck = [outcome for outcome in outcomes if outcome.struck]
    kinds = [_kind(outcome.blow) for outcome in struck]
    missed, violated = len(outcomes) - len(struck), sum(bool(o.violations) for o in outcomes)
    return [
        *(kinds.count(kind) for kind in ("kill", "errno", "signal")),
        len(struck),
        missed,
        violated,
    ]


def _kind(blow: Blow) -> str:
    return "signal" if blow.fault in SIGNALS else "kill" if blow.fault in KILLING else "errno"


if __name__ == "__main__":
    sys.exit(main())
