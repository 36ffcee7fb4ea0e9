"""The port that an entry wants: who keeps it when an assignment ends, and who takes it away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxops.agent.errors import RegistryInvalid
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry, coerce, dump, parse

READY = {"pid": 1, "launched_by": "ann@mini", "ready_at": "t"}
LOADING = {"pid": 2, "launched_by": "ann@mini"}


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


def stored(current: Registry) -> dict[str, dict[str, Any]]:
    models: dict[str, dict[str, Any]] = json.loads(dump(current))["models"]
    return models


def read(**models: dict[str, Any]) -> Registry:
    return parse(json.dumps({"version": 1, "models": models}).encode())


def test_what_is_cleared_still_wants_its_port_and_frees_it():
    after = registry_of(amber=8100, jade=None).want("amber", 8100).clear(8100)
    assert wanted(after) == {"amber": 8100, "jade": None}
    assert [e.name for e in after.lost(8100)] == ["amber"]
    assert after.entries["amber"].port is after.entries["amber"].process is None


def test_a_load_that_never_got_ready_does_not_take_the_port_from_the_one_before():
    begun = registry_of(amber=None, jade=None).want("amber", 8100).assign("jade", 8100, LOADING)
    assert wanted(begun) == wanted(begun.clear(8100)) == {"amber": 8100, "jade": None}
    assert [e.name for e in begun.clear(8100).lost(8100)] == ["amber"]


def test_a_load_that_never_got_ready_wants_nothing_either_if_nobody_does():
    begun = registry_of(jade=None).assign("jade", 8100, LOADING)
    assert wanted(parse(dump(begun)).clear(8100)) == {"jade": None}


def test_one_entry_wants_a_port_and_none_once_it_is_forgotten():
    both = registry_of(amber=8101, jade=None, topaz=None).want("amber", 8100).want("jade", 8100)
    assert wanted(both) == {"amber": None, "jade": 8100, "topaz": None}
    assert wanted(both.want("topaz", 8100).forget(8100)) == dict.fromkeys(
        ("amber", "jade", "topaz")
    )


def test_an_entry_that_is_assigned_elsewhere_is_not_lost():
    assert registry_of(amber=8101).want("amber", 8100).lost(8100) == ()


@pytest.mark.parametrize(
    "process",
    [None, {"pid": 1}, {"pid": 1, "launched_by": "adopted"}, READY],
    ids=["of another tool", "with a pid", "adopted", "ready"],
)
def test_an_assignment_of_a_registry_without_wanted_is_wanted_and_the_next_write_stores_it(
    process: dict[str, Any] | None,
):
    fields = {"port": "8100", "process": process}
    before = read(amber=fields, jade={})
    assert wanted(before) == {"amber": 8100, "jade": None}
    after = stored(before.put(before.entries["jade"].with_fields(revision="main")))
    assert after == {"amber": {**fields, "wanted": 8100}, "jade": {"revision": "main"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"process": LOADING},
        {"process": {**READY, "keep": False}},
        {"wanted": None},
        {"wanted": ""},
    ],
    ids=["a load in progress", "on trial", "null", "empty"],
)
def test_but_not_where_something_says_that_it_is_not(fields: dict[str, Any]):
    before = read(amber={"port": 8100, **fields}, jade={})
    assert wanted(before) == {"amber": None, "jade": None}
    assert stored(before)["amber"] == {"port": 8100, **fields}


def test_nor_where_another_wants_the_port_or_two_are_assigned_to_it():
    rivals = read(amber={"port": 8100}, jade={"wanted": 8100})
    assert wanted(rivals) == {"amber": None, "jade": 8100}
    twice = read(amber={"port": 8100}, jade={"port": 8100})
    assert wanted(twice) == {"amber": None, "jade": None}


def test_an_entry_that_serves_one_port_on_trial_may_want_another():
    process = {**READY, "keep": False}
    both = read(amber={"port": 8101, "wanted": 8100, "process": process})
    assert both.entries["amber"].on_trial and wanted(both) == {"amber": 8100}
    assert [e.name for e in both.clear(8101).lost(8100)] == ["amber"]


@pytest.mark.parametrize("process", [None, {}, {"keep": True}, {"keep": None}, {"keep": 0}])
def test_only_false_is_a_trial(process: dict[str, Any] | None):
    assert not Entry("a", {**REQUIRED, "process": process}).on_trial


def test_it_is_known_whether_an_entry_wants_its_port_alone():
    one = registry_of(amber=8100, jade=None).want("amber", 8100)
    assert one.is_wanted_alone("amber", 8100) and not one.is_wanted_alone("jade", 8100)
    two = one.put(one.entries["jade"].with_fields(wanted=8100))
    assert not two.is_wanted_alone("amber", 8100)
    assert [e.name for e in two.wanting(8100)] == ["amber", "jade"]


@pytest.mark.parametrize(
    ("stored", "read"), [(8100, 8100), ("8100", 8100), (None, None), ("", None), (8100.0, 8100)]
)
def test_wanted_is_read_as_the_port_it_means(stored: Any, read: int | None):
    assert coerce("a", {"wanted": stored}).wanted == read


@pytest.mark.parametrize("stored", ["soon", True, [8100], {}, -1, 70000, 1.5])
def test_wanted_that_is_no_port_is_an_error_that_names_the_entry(stored: Any):
    with pytest.raises(RegistryInvalid, match=r"'a'.*wanted") as refused:
        coerce("a", {"wanted": stored})
    assert (refused.value.fields["entry"], refused.value.fields["field"]) == ("a", "wanted")


GONE = {"gone": "crash", "gone_at": "t2"}


def missed(**fields: Any) -> dict[str, Any]:
    """What an entry keeps once its server on 8100 is missed."""
    record = {**READY, "launched_at": "t1", "start_time": "s", "argv": ["x"], "family": []}
    before = Entry("amber", {**REQUIRED, "port": 8100, "process": record, **fields})
    after = Registry({"amber": before}, {}).miss(8100, "amber", GONE).entries["amber"]
    assert after.port is after.process is None and after.wanted == before.wanted
    return dict(after.last_process)


def test_a_server_that_is_missed_leaves_what_shows_how_it_ended():
    assert missed(wanted=8100) == {
        "pid": 1,
        "start_time": "s",
        "launched_at": "t1",
        "launched_by": "ann@mini",
        **GONE,
    }


def test_one_that_nobody_misses_leaves_nothing():
    assert missed() == missed(wanted=8101) == missed(wanted=8100, process=None) == {}


def test_unload_and_the_next_load_drop_it():
    gone = read(amber={"wanted": 8100, "last_process": {"pid": 1}}, jade={})
    assert stored(gone.forget(8100))["amber"] == {}
    assert stored(gone.want("amber", 8101))["amber"] == {"wanted": 8101}
    assert stored(gone.want("jade", 8100))["amber"] == {}
    assert gone.assign("amber", 8100, LOADING).entries["amber"].last_process == {"pid": 1}


@pytest.mark.parametrize("stored", [None, "x", 5, [1]], ids=repr)
def test_anything_else_there_is_nothing(stored: Any):
    assert read(amber={"last_process": stored}).entries["amber"].last_process == {}
