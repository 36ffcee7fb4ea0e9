"""Which servers are asked whether they react, when, and what their silence means."""

from __future__ import annotations

from mlxops.agent.watch.pulse import MAX_PULSE_INTERVAL_S, PULSE_INTERVAL_S, Pulse, Pulses

MS = 2.0


def test_one_late_reaction_is_not_a_hung_server_and_two_are() -> None:
    once = Pulse().after(MS, 0.0).after(None, 10.0)
    assert not once.hung and once.due(10.1)
    twice = once.after(None, 12.0)
    assert twice.hung and not twice.after(MS, 13.0).hung


def test_a_server_that_never_reacted_is_hung_at_once() -> None:
    assert Pulse().after(None, 0.0).hung


def test_a_hung_server_is_asked_less_and_less_often() -> None:
    pulse, pauses = Pulse().after(MS, 0.0), []
    for _ in range(12):
        pulse = pulse.after(None, 0.0)
        pauses.append(next(s for s in range(1000) if pulse.due(float(s))))
    assert pauses[0] == 0 and pauses[1] > PULSE_INTERVAL_S
    assert sorted(pauses) == pauses and pauses[-1] == MAX_PULSE_INTERVAL_S


def test_all_ports_are_asked_and_one_that_closed_is_forgotten() -> None:
    asked: list[tuple[str, int]] = []

    def react(address: str, port: int, limit_s: float) -> float:
        asked.append((address, port))
        return MS

    pulses = Pulses(clock=lambda: 0.0, react=react)
    pulses.aim([(8100, "127.0.0.1"), (8101, "::1")])
    pulses.take_all()
    assert sorted(asked) == [("127.0.0.1", 8100), ("::1", 8101)]
    assert pulses.of(8101).latency_ms == MS
    pulses.aim([(8100, "127.0.0.1")])
    assert pulses.of(8101) == Pulse() and pulses.of(8100).reacted
