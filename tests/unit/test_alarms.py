"""One timer with several users: none loses its time to another."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlxops import alarms
from mlxops.agent.errors import LinkLost

ROOT = Path(__file__).parents[2]
# The timer is the subject here, so that the time limit of tests must not use it.
pytestmark = pytest.mark.timeout(method="thread")


def test_alarms_ring_in_their_order_and_a_cancelled_one_does_not() -> None:
    rung: list[str] = []
    before = signal.getsignal(signal.SIGALRM)
    alarms.after(0.10, lambda: rung.append("late"))
    dropped = alarms.after(0.05, lambda: rung.append("cancelled"))
    again = alarms.after(0.02, lambda: rung.append("again"), every=0.02)
    dropped.cancel()
    time.sleep(0.07)
    again.cancel()
    while "late" not in rung:
        time.sleep(0.01)
    assert rung.count("again") >= 2 and rung[-1] == "late" and "cancelled" not in rung
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_alarm_that_raises_costs_no_other_its_turn() -> None:
    rung: list[str] = []

    def fail() -> None:
        raise ValueError

    alarms.after(0.03, lambda: rung.append("later"))
    alarms.after(0.01, fail)
    with pytest.raises(ValueError):
        time.sleep(5)
    time.sleep(0.1)
    assert rung == ["later"]


# A press is lost in a finalizer while a time limit runs: the press comes again, and the limit still
# holds.
LIMITED = """
import os, signal, sys, time
from mlxops import interrupts
from mlxops.unattended import single_instance

class Ends:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

interrupts.listen()
with single_instance.time_limit(0.6):
    try:
        with interrupts.raise_on(1):
            Ends()
            time.sleep(30)
    except KeyboardInterrupt:
        print("pressed", flush=True)
    time.sleep(30)
"""
# The answer is being told, the press bounds that: the limit of the whole run must not be forgotten,
# nor ring later.
TOLD = """
import os, signal, time
from mlxops import interrupts
from mlxops.unattended import single_instance

interrupts.REPORT_TIMEOUT_S = 30
interrupts.listen()
interrupts.begin_report()
with single_instance.time_limit(0.3):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
"""


def ended(script: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, text=True, capture_output=True, timeout=20
    )


def test_a_press_that_comes_again_leaves_the_time_limit_alone() -> None:
    done = ended(LIMITED)
    assert done.stdout == "pressed\n"
    assert done.returncode == 1 and "LinkLost: gave up after 0.6 s" in done.stderr


def test_a_press_while_the_answer_is_told_leaves_the_time_limit_alone() -> None:
    done = ended(TOLD)
    assert done.returncode == 1 and "gave up after 0.3 s" in done.stderr
    assert LinkLost.exit_code != 130


def test_with_a_time_limit_a_press_while_telling_still_ends_in_time() -> None:
    script = TOLD.replace("REPORT_TIMEOUT_S = 30", "REPORT_TIMEOUT_S = 0.2").replace(
        "time_limit(0.3)", "time_limit(30)"
    )
    assert ended(script).returncode == 130
