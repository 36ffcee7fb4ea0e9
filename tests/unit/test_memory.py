"""Whether a model fits: what is held, what can be had, and which ports to unload for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from mlxops.agent.claim import Ground
from mlxops.agent.errors import NotEnoughMemory
from mlxops.agent.evidence import SILENT, PortEvidence
from mlxops.agent.memory import check
from mlxops.agent.procs.facts import Memory, Process, Unseen
from mlxops.agent.registry import EMPTY
from mlxops.agent.runtimes import RUNTIMES, Runtimes

GIB = 1 << 30
GROUND = Ground(EMPTY, (), PortEvidence(8100, (), (), None, (), SILENT, None, ()))


class Machine:
    """Servers of some GiB on some ports, and so much left; None: it cannot be seen."""

    def __init__(self, held: dict[int, int | None], left: int | None, limit: int | None = None) -> None:
        self._held, self._left, self._limit = held, left, limit

    def processes(self) -> dict[int, Process]:
        lines = {port: ("mlx_lm.server", "--model", "m", "--port", str(port)) for port in self._held}
        return {port: Process(port, 1, port, 0, "t", None, None, line, False) for port, line in lines.items()}

    def footprint(self, processes: Iterable[Process]) -> int | None:
        (process,) = processes
        size = self._held[process.pid]
        return None if size is None else size * GIB

    def memory(self) -> Memory:
        if self._left is None:
            raise Unseen("vm_stat does not answer")
        return Memory(256 * GIB, self._left * GIB, None if self._limit is None else self._limit * GIB)


class Known(NamedTuple):
    runtimes: Runtimes = RUNTIMES


class Host(NamedTuple):
    procs: Any
    site: Known = Known()


def warnings(machine: Machine, gib: int | None, force: bool = False) -> tuple[str, ...]:
    command: Any = Host(machine)
    return check(command, GROUND, None if gib is None else gib * GIB, force)


# Ten GiB of weights need eleven, and one more.
@pytest.mark.parametrize(
    ("machine", "fits"),
    [
        (Machine({}, 12), True),
        (Machine({}, 11), False),
        (Machine({8100: 10}, 2), True),  # its own occupant goes first
        (Machine({8101: 10}, 2), False),
        (Machine({}, 99, limit=12), True),
        (Machine({}, 99, limit=11), False),
        (Machine({8101: 88}, 99, limit=100), True),
        (Machine({8101: 89}, 99, limit=100), False),
        (Machine({8100: 99}, 99, limit=100), True),
        (Machine({8101: None}, 12), True),
        (Machine({}, 0), False),
    ],
)
def test_weights_need_their_size_a_tenth_and_a_gibibyte(machine: Machine, fits: bool):
    if fits:
        assert warnings(machine, 10) == ()
    else:
        with pytest.raises(NotEnoughMemory) as refused:
            warnings(machine, 10)
        assert refused.value.exit_code == 10
        assert refused.value.fields["need_bytes"] == 12 * GIB


@pytest.mark.parametrize(
    ("held", "left", "unload"),
    [
        ({8101: 5, 8102: 20, 8103: 8}, 0, [8102]),
        ({8101: 5, 8102: 6, 8103: 5}, 2, [8102, 8101]),
        ({8101: 12}, 0, [8101]),
        ({8101: 5}, 2, []),
        ({}, 0, []),
        ({8100: 4, 8101: 8}, 0, [8101]),
    ],
)
def test_the_fewest_ports_that_make_room_are_named(held: dict[int, int | None], left: int, unload: list[int]):
    with pytest.raises(NotEnoughMemory) as refused:
        warnings(Machine(held, left), 10)
    assert refused.value.fields["unload"] == unload
    steps = "".join(f"mlxops unload {port}; " for port in unload)
    assert refused.value.hint == (f"{steps}or --force" if unload else "--force to try all the same")


def test_ports_to_unload_are_never_the_one_to_be_loaded():
    with pytest.raises(NotEnoughMemory) as refused:
        warnings(Machine({8100: 5, 8101: 1}, 0), 10)
    assert refused.value.fields["held_bytes"] == {8101: 1 * GIB}


def test_force_turns_the_refusal_into_a_warning():
    assert warnings(Machine({}, 11), 10, force=True) == (
        "needs 12.0 GiB of memory with headroom, 11.0 GiB can be had; forced",
    )


@pytest.mark.parametrize(("machine", "gib"), [(Machine({}, 99), None), (Machine({}, None), 10)])
def test_what_cannot_be_known_is_said_and_does_not_refuse(machine: Machine, gib: int | None):
    (said,) = warnings(machine, gib)
    assert "not checked" in said
