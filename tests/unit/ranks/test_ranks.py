"""The hosts of a model, how its ranks find each other, and which registry values about them are
trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxops.agent.errors import NotEnoughMemory, RegistryInvalid
from mlxops.agent.ports.diagnosis import diagnose
from mlxops.agent.ports.evidence import NO_ANSWER, Expected, PortEvidence
from mlxops.agent.ranks.other_hosts import OtherHosts
from mlxops.agent.ranks.ranks import (
    Rank,
    RankState,
    has_malformed_ranks,
    hostfile,
    hosts,
    recorded_ranks,
    ring_addresses,
    shard_count,
)
from mlxops.agent.ranks.ring import memory_needed, require_memory
from mlxops.agent.registry.entries import REQUIRED, Entry, coerce

TWO = ["studio=10.0.0.1", "second.lan=10.0.0.2"]
ROW: dict[str, Any] = {
    "number": 1,
    "host": "second",
    "pid": 77,
    "start_time": "then",
    "at": "10.0.0.2:11001",
}
RANK = Rank(1, "second", 77, "then", "10.0.0.2:11001")


def entry(**fields: Any) -> Entry:
    return coerce("big", {**REQUIRED, "repo_id": "org/big", **fields})


def test_an_entry_names_its_hosts_and_its_weights_are_divided() -> None:
    big = entry(hosts=TWO)
    assert hosts(big) == (("studio", "10.0.0.1"), ("second.lan", "10.0.0.2"))
    assert (shard_count(big), shard_count(entry())) == (2, 1)


def test_the_ring_is_what_mlx_reads_and_every_port_has_its_own() -> None:
    rings = [ring_addresses(entry(hosts=TWO), port) for port in range(8100, 8110)]
    assert rings[0] == ["10.0.0.1:11000", "10.0.0.2:11001"]
    assert json.loads(hostfile(rings[0])) == [["10.0.0.1:11000"], ["10.0.0.2:11001"]]
    assert len({address for one in rings for address in one}) == 20
    assert ring_addresses(entry(), 8100) == []


@pytest.mark.parametrize(
    "value",
    [
        ["studio=10.0.0.1"],
        "studio=10.0.0.1",
        7,
        {"a": 1},
        [1, 2],
        ["a=10.0.0.1"] * 11,
        ["a=10.0.0.1", "b"],
        ["a=10.0.0.1", "-oProxyCommand=10.0.0.2"],
        ["a=10.0.0.1", "b c=10.0.0.2"],
        ["a=10.0.0.1", "b\n=10.0.0.2"],
        ["a=10.0.0.1", "b=::1"],
        ["a=10.0.0.1", "b=host"],
        ["a=10.0.0.1", "b=10.0.0.2\n"],
        ["a=10.0.0.1", None],
    ],
)
def test_what_is_no_list_of_hosts_is_refused(value: Any) -> None:
    with pytest.raises(RegistryInvalid) as refused:
        entry(hosts=value)
    assert refused.value.fields["field"] == "hosts"


@pytest.mark.parametrize("value", [None, [], ""])
def test_no_hosts_is_a_model_of_one(value: Any) -> None:
    assert shard_count(entry(hosts=value)) == 1


@pytest.mark.parametrize(
    "rows",
    [
        7,
        {},
        [7],
        [{}],
        [{**ROW, "pid": "77"}],
        [{**ROW, "pid": True}],
        [{**ROW, "at": None}],
        [{**ROW, "host": "-oX"}],
    ],
)
def test_what_somebody_else_wrote_there_is_no_rank(rows: Any) -> None:
    written = entry(process={"pid": 1, "ranks": rows})
    assert recorded_ranks(written) == () and has_malformed_ranks(written)


def test_a_record_without_ranks_says_so() -> None:
    assert not any(
        has_malformed_ranks(entry(process={"pid": 1, **more}))
        for more in ({}, {"ranks": []}, {"ranks": None})
    )


def test_a_record_is_read_as_it_was_written() -> None:
    assert recorded_ranks(entry(process={"pid": 1, "ranks": [RANK._asdict()]})) == (RANK,)
    assert not has_malformed_ranks(entry(process={"pid": 1, "ranks": [RANK._asdict()]}))


def evidence(*seen: RankState, unknown: tuple[str, ...] = ()) -> PortEvidence:
    return PortEvidence(
        8100, (), (), None, (), NO_ANSWER, None, unknown, other_hosts=OtherHosts(seen)
    )


def test_a_port_is_quiet_only_once_every_rank_is_proven_gone() -> None:
    assert evidence(RankState(RANK, False)).proven_idle
    assert not evidence(RankState(RANK, False), RankState(RANK, True)).proven_idle
    assert not evidence(RankState(RANK, None, "no route")).proven_idle


def test_a_host_that_has_no_room_for_its_share_is_named() -> None:
    require_memory("second", 8 << 30, 8 << 30, force=False)
    require_memory("second", 9 << 30, 8 << 30, force=True)
    with pytest.raises(
        NotEnoughMemory, match=r"second has 8\.0 GiB .* its part of the model needs 9\.0 GiB"
    ):
        require_memory("second", 9 << 30, 8 << 30, force=False)


def test_a_host_that_is_named_for_two_ranks_needs_room_for_both() -> None:
    big = entry(hosts=["a=10.0.0.1", "b=10.0.0.2", "c=10.0.0.3", "b=10.0.0.2"])
    assert memory_needed(big, 4000) == {"b": 2200, "c": 1100}


def test_a_rank_that_is_left_over_is_named() -> None:
    verdict = diagnose(
        evidence(RankState(RANK, True)), Expected((entry(port=8100, hosts=TWO),), "big")
    )
    assert (verdict.state, "77 on second" in verdict.reason) == ("failed", True)
