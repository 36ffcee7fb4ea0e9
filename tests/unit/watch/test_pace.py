"""Observations are spaced by what they cost."""

from __future__ import annotations

from mlxops.agent.errors import Unobservable
from mlxops.agent.watch.pace import Paced


class Machine:
    """A clock, and a processor whose time each observation takes."""

    def __init__(self, takes_s: float) -> None:
        self.now, self.used, self.takes_s, self.looks = 0.0, 0.0, takes_s, 0

    def observe(self) -> int:
        self.used += self.takes_s
        self.looks += 1
        return self.looks

    def paced(self, share: float, burst: float = 0.0) -> Paced[int]:
        return Paced(self.observe, share, burst, clock=lambda: self.now, cost=lambda: self.used)


def test_an_hour_costs_no_more_than_its_share() -> None:
    machine = Machine(takes_s=0.02)
    paced = machine.paced(0.004)
    for second in range(3600):
        machine.now = float(second)
        paced.value()
    assert machine.used / 3600 <= 0.004
    assert machine.looks > 600


def test_a_cheap_observation_is_made_each_time() -> None:
    machine = Machine(takes_s=0.0001)
    paced = machine.paced(0.004)
    seen = []
    for second in range(5):
        machine.now = float(second)
        seen.append(paced.value())
    assert seen == [1, 2, 3, 4, 5]


def test_a_change_is_looked_at_sooner_and_within_its_own_share() -> None:
    machine = Machine(takes_s=0.1)
    paced = machine.paced(0.01, burst=0.1)
    paced.value()
    machine.now = 0.9
    assert paced.value(changed=True) == 1
    machine.now = 1.0
    assert paced.value() == 1 and paced.value(changed=True) == 2


def test_what_cannot_be_observed_is_none_and_tried_again() -> None:
    answers = iter([Unobservable("lsof is gone"), 7])

    def observe() -> int:
        answer = next(answers)
        if isinstance(answer, Unobservable):
            raise answer
        return answer

    paced = Paced(observe, 0.01, cost=lambda: 0.0)
    assert (paced.value(), paced.value()) == (None, 7)
