"""The port that an entry wants: who keeps it when an assignment ends, and who takes it away."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.errors import RegistryInvalid
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry, coerce


def registry_of(**ports: int | None) -> Registry:
    return Registry(
        {
            n: Entry(n, {**REQUIRED, "port": p, "slot": 8103, "process": {"pid": 1}})
            for n, p in ports.items()
        },
        {},
    )


def wanted(current: Registry) -> dict[str, int | None]:
    return {name: entry.wanted for name, entry in current.entries.items()}


def served(current: Registry, name: str) -> Registry:
    return current.put(current.entries[name].with_fields(process={"pid": 1, "ready_at": "t"}))


def test_what_served_on_a_port_that_is_cleared_still_wants_it():
    after = served(registry_of(amber=8100, jade=None).want("jade", 8100), "amber").clear(8100)
    assert wanted(after) == {"amber": 8100, "jade": None}
    assert [e.name for e in after.lost(8100)] == ["amber"]


def test_a_load_that_never_got_ready_does_not_take_the_port_from_the_one_before():
    begun = registry_of(amber=None, jade=None).want("amber", 8100).assign("jade", 8100, {"pid": 2})
    assert wanted(begun) == wanted(begun.clear(8100)) == {"amber": 8100, "jade": None}
    assert [e.name for e in begun.clear(8100).lost(8100)] == ["amber"]


def test_an_assignment_of_before_is_remembered_too():
    assert wanted(registry_of(amber=8100).clear(8100)) == {"amber": 8100}


def test_one_entry_wants_a_port_and_none_once_it_is_forgotten():
    both = registry_of(amber=8101, jade=None, topaz=None).want("amber", 8100).want("jade", 8100)
    assert wanted(both) == {"amber": None, "jade": 8100, "topaz": None}
    assert wanted(both.want("topaz", 8100).forget(8100)) == dict.fromkeys(
        ("amber", "jade", "topaz")
    )


def test_an_entry_that_is_assigned_elsewhere_is_not_lost():
    assert registry_of(amber=8101).want("amber", 8100).lost(8100) == ()


@pytest.mark.parametrize(
    ("stored", "read"), [(8100, 8100), ("8100", 8100), (None, None), ("", None), (8100.0, 8100)]
)
def test_wanted_is_read_as_the_port_it_means(stored: Any, read: int | None):
    assert coerce("a", {"wanted": stored}).wanted == read


@pytest.mark.parametrize("stored", ["soon", True, [8100], -1, 70000, 1.5])
def test_wanted_that_is_no_port_is_an_error(stored: Any):
    with pytest.raises(RegistryInvalid, match="wanted"):
        coerce("a", {"wanted": stored})
