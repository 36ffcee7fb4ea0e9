"""Whether a model fits: memory in use, memory available, and which ports to unload."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from mlxops.agent.errors import NotEnoughMemory, Unobservable
from mlxops.agent.load.evict import current_fit
from mlxops.agent.load.memory import check_memory, require_still_fits
from mlxops.agent.load.request import LoadPlan, LoadRequest
from mlxops.agent.memory.fit import MemoryRequest, fewest_ports, fit
from mlxops.agent.procs.facts import Listener, Memory, Process
from mlxops.agent.programs.installed import Installed
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.registry.store import Store
from mlxops.agent.runtimes.table import RUNTIMES, Runtimes

GIB = 1 << 30
PORTS = (8100, 8101, 8102, 8103)
ORDER = LoadRequest.from_wire({"model": "m", "port": 8100})


class Machine:
    """Servers on some ports that use so many GiB, and the memory left; None: unknown."""

    def __init__(
        self, held: dict[int, int | None], left: int | None, limit: int | None = None
    ) -> None:
        self._held, self._left, self._limit = held, left, limit

    def processes(self) -> dict[int, Process]:
        lines = {
            port: ("mlx_lm.server", "--model", "m", "--port", str(port)) for port in self._held
        }
        return {
            port: Process(port, 1, port, os.geteuid(), "t", None, None, line, False)
            for port, line in lines.items()
        }

    def listeners(self, ports: Iterable[int]) -> tuple[Listener, ...]:
        return ()

    def launchd_jobs(self) -> tuple[()]:
        return ()

    def footprint(self, processes: Iterable[Process]) -> int | None:
        (process,) = processes
        size = self._held[process.pid]
        return None if size is None else size * GIB

    def memory(self) -> Memory:
        if self._left is None:
            raise Unobservable("vm_stat does not answer")
        return Memory(
            256 * GIB, self._left * GIB, None if self._limit is None else self._limit * GIB
        )


class Site(NamedTuple):
    registry: str
    ports: tuple[int, ...] = PORTS
    runtimes: Runtimes = RUNTIMES
    probe_address: str = "127.0.0.1"
    state_dir: str = "/nonexistent"


class Host(NamedTuple):
    procs: Any
    site: Site
    store: Store
    client: Any

    def job_of(self, port: int) -> None:
        return None


@pytest.fixture
def host(tmp_path: Path) -> Any:
    """A host on which each port's server serves what the port's entry says."""
    registry = str(tmp_path / "registry.json")
    models = {
        f"m{port}": {**REQUIRED, "repo_id": "m", "model_id": "m", "port": port} for port in PORTS
    }
    Path(registry).write_text(json.dumps({"version": 1, "models": models}))
    return lambda machine: Host(
        machine, Site(registry), Store(registry, {}), SimpleNamespace(check=lambda: None)
    )


def asked(gib: int = 10, port: int | None = 8100) -> MemoryRequest:
    """Without sizes in the config, ten GiB of weights need eleven, and one GiB more."""
    return MemoryRequest(gib * GIB, {}, "mlx_lm.server", port=port)


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
        (Machine({9999: 89}, 99, limit=100), False),  # whoever's port it is, what it holds is wired
        (Machine({8100: 99}, 99, limit=100), True),
        (Machine({8101: None}, 12), True),
        (Machine({}, 0), False),
    ],
)
def test_what_can_be_had(machine: Machine, fits: bool, host: Any) -> None:
    if fits:
        found, warnings = check_memory(host(machine), asked(), ORDER)
        assert found is not None and found.fits and warnings == ()
    else:
        with pytest.raises(NotEnoughMemory) as refused:
            check_memory(host(machine), asked(), ORDER)
        assert refused.value.exit_code == 10
        assert refused.value.fields["need_bytes"] == 12 * GIB


def test_without_a_port_nobody_counts_as_gone(host: Any) -> None:
    assert fit(host(Machine({8100: 10}, 2)), asked(port=8100)).fits
    assert fit(host(Machine({8100: 10}, 2)), asked(port=None)).unload == (8100,)


@pytest.mark.parametrize(
    ("held", "short", "unload"),
    [
        ({1: 5, 2: 20, 3: 8}, 5, (1,)),  # one of them does: the one that holds least
        ({1: 5, 2: 20, 3: 8}, 6, (3,)),
        ({1: 5, 2: 20, 3: 8}, 21, (1, 2)),
        # Largest first would take 4 and 3 and still need a third.
        ({1: 6, 2: 6, 3: 4, 4: 7}, 13, (1, 4)),
        ({1: 5, 2: 6, 3: 5}, 10, (1, 3)),
        ({1: 5}, 6, ()),
        ({}, 1, ()),
        ({1: 5}, 0, ()),
        ({port: 1 for port in range(10)}, 10, tuple(range(10))),
    ],
)
def test_the_fewest_ports_and_of_those_the_least_is_unloaded(
    held: dict[int, int], short: int, unload: tuple[int, ...]
) -> None:
    assert fewest_ports(held, short) == unload


@pytest.mark.parametrize(
    ("held", "left", "unload"),
    [
        ({8101: 5, 8102: 20, 8103: 8}, 0, [8102]),
        ({8101: 12}, 0, [8101]),
        ({8101: 5}, 2, []),
        ({8100: 4, 8101: 8}, 0, [8101]),
        ({9999: 20}, 0, []),  # not a port of this host: nobody here may unload it
    ],
)
def test_the_ports_to_unload_are_named(
    held: dict[int, int | None], left: int, unload: list[int], host: Any
) -> None:
    with pytest.raises(NotEnoughMemory) as refused:
        check_memory(host(Machine(held, left)), asked(), ORDER)
    assert refused.value.fields["unload"] == unload
    assert [f"mlxops unload {port}" in refused.value.hint for port in unload] == [True] * len(
        unload
    )
    assert "--force" in refused.value.hint and ("--evict" in refused.value.hint) == bool(unload)


def test_force_turns_the_refusal_into_a_warning_and_evict_into_a_plan(host: Any) -> None:
    _, (said,) = check_memory(host(Machine({}, 11)), asked(), ORDER._replace(force=True))
    assert said == "it needs 12.0 GiB of memory, but only 11.0 GiB is available; forced"
    found, warnings = check_memory(
        host(Machine({8101: 12}, 0)), asked(), ORDER._replace(evict=True)
    )
    assert found is not None and (found.fits, found.unload, warnings) == (False, (8101,), ())
    with pytest.raises(NotEnoughMemory):
        check_memory(host(Machine({8101: 5}, 0)), asked(), ORDER._replace(evict=True))


def test_what_can_be_seen_no_more_is_as_it_was_a_moment_ago(host: Any) -> None:
    order, entry, servers = ORDER._replace(evict=True), Entry("m", {**REQUIRED}), {8101: 9, 8102: 9}
    seen = fit(host(Machine(servers, 3)), asked())
    ground: Any = None
    prepared = LoadPlan(
        order, entry, None, Installed(RUNTIMES["mlx_lm.server"], None), ground, False, (), asked()
    )
    assert (
        current_fit(host(Machine(servers, None)), prepared._replace(fit=seen)) == seen
        and seen.unload
    )
    assert current_fit(host(Machine(servers, None)), prepared) is None


def test_what_a_load_that_began_meanwhile_will_take_is_not_free(
    host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = host(Machine({8101: 3}, 20))
    found = fit(command, asked())
    require_still_fits(command, found, ORDER)
    monkeypatch.setattr(
        "mlxops.agent.load.memory.reserved_bytes", lambda *_: {8102: 9 * GIB, 8100: 99 * GIB}
    )
    with pytest.raises(NotEnoughMemory) as refused:
        require_still_fits(command, found, ORDER)
    assert refused.value.fields["promised_bytes"] == {8102: 9 * GIB}
    assert refused.value.fields["available_bytes"] == 11 * GIB
    require_still_fits(command, found, ORDER._replace(force=True))


@pytest.mark.parametrize(
    ("machine", "model"), [(Machine({}, 99), None), (Machine({}, None), asked())]
)
def test_what_cannot_be_known_is_said_and_does_not_refuse(
    machine: Machine, model: MemoryRequest | None, host: Any
) -> None:
    found, (said,) = check_memory(host(machine), model, ORDER)
    assert found is None and "not checked" in said


def test_very_many_servers_are_not_gone_through_in_every_combination() -> None:
    held = {8100 + n: (1 << 30) + n for n in range(40)}
    assert fewest_ports(held, 20 << 30) == tuple(range(8120, 8140))
    assert fewest_ports(held, 1 << 40) == ()
