"""The plan of init: new entries, paths that moved, adopted servers; never a removal or a new
name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.registry.entries import EMPTY, REQUIRED, Entry, Registry
from mlxops.agent.registry.init_plan import (
    CachedModel,
    Change,
    Running,
    Slots,
    apply,
    free_name,
    plan,
)
from mlxops.agent.registry.resolve import require_valid_name

SLOTS = Slots({"org/planned": 8101}, frozenset({"jerry"}))
RECORD = {"pid": 77, "start_time": "t"}


def entry(name: str, repo_id: str = "org/a", **fields: Any) -> Entry:
    return Entry(
        name,
        {**REQUIRED, "repo_id": repo_id, "model_id": repo_id, "cache_path": "/hub/a1", **fields},
    )


def registry_of(*entries: Entry) -> Registry:
    return Registry({e.name: e for e in entries}, {})


def found(repo_id: str = "org/a", path: str = "/hub/a1", **proposed: str) -> CachedModel:
    return CachedModel(repo_id, path, proposed)


def steps(changes: tuple[Change, ...]) -> list[tuple[str, str, int | None, bool]]:
    return [(c.action, c.name, c.port, c.entry is not None) for c in changes]


def test_a_new_model_gets_an_entry_with_what_its_family_proposes():
    (change,) = plan(EMPTY, [found(tool_call_parser="hermes")], [], SLOTS, {})
    assert (change.action, change.name, change.port) == ("add", "a", None)
    assert "tool_call_parser hermes" in change.reason
    assert change.entry == entry("a", tool_call_parser="hermes")


def test_a_planned_model_gets_its_slots_port_as_an_intent_and_a_name_of_its_own():
    (change,) = plan(EMPTY, [found("org/planned")], [], SLOTS, {})
    assert change.entry == entry("planned", "org/planned", slot=8101)


def test_a_model_that_is_called_as_a_slot_or_a_port_gets_another_name():
    named = plan(EMPTY, [found("org/Jerry"), found("org/8102")], [], SLOTS, {})
    assert [change.name for change in named] == ["org-jerry", "org-8102"]


def test_a_slot_is_planned_for_one_entry_only():
    (change,) = plan(
        registry_of(entry("own", "org/other", slot=8101)), [found("org/planned")], [], SLOTS, {}
    )
    assert change.entry == entry("planned", "org/planned")


MOVED = "/hub/a2"
REFRESHES: dict[str, tuple[list[Entry], list[tuple[str, str, int | None, bool]]]] = {
    "whatever its name": ([entry("mine")], [("refresh", "mine", None, True)]),
    "pinned": ([entry("mine", revision="sha0")], []),
    "already there": ([entry("mine", cache_path=MOVED)], []),
    "served": ([entry("mine", port=8100)], [("refresh", "mine", 8100, False)]),
    "two of one repository": (
        [entry("one"), entry("two"), entry("three", cache_path=MOVED)],
        [("refresh", "one", None, True), ("refresh", "two", None, True)],
    ),
    "one served, one not": (
        [entry("one", port=8100), entry("two")],
        [("refresh", "one", 8100, False), ("refresh", "two", None, True)],
    ),
}


@pytest.mark.parametrize(("entries", "expected"), REFRESHES.values(), ids=REFRESHES.keys())
def test_a_moved_snapshot_refreshes_the_paths_of_its_entries(
    entries: list[Entry], expected: list[Any]
):
    changes = plan(registry_of(*entries), [found(path=MOVED)], [], SLOTS, {})
    assert steps(changes) == expected
    assert all(c.entry.cache_path == MOVED for c in changes if c.entry)


ADOPTIONS: dict[str, tuple[list[Entry], str, list[tuple[str, str, int | None, bool]]]] = {
    "by path": ([entry("mine")], "/hub/a1", [("adopt", "mine", 8100, True)]),
    "by repository": ([entry("mine")], "org/a", [("adopt", "mine", 8100, True)]),
    "of nobody's model": ([entry("mine")], "/elsewhere", [("adopt", "", 8100, False)]),
    "without a model": ([entry("mine", cache_path="")], "", [("adopt", "", 8100, False)]),
    "on a port that has its entry": (
        [entry("mine"), entry("other", "org/b", port=8100)],
        "/hub/a1",
        [],
    ),
    "of one that is served elsewhere": (
        [entry("mine", port=8105)],
        "/hub/a1",
        [("adopt", "mine", 8100, False)],
    ),
    "of two, one served elsewhere": (
        [entry("mine", port=8105), entry("twin")],
        "/hub/a1",
        [("adopt", "twin", 8100, True)],
    ),
}


@pytest.mark.parametrize(("entries", "model", "expected"), ADOPTIONS.values(), ids=ADOPTIONS.keys())
def test_a_running_server_is_adopted_by_the_entry_it_serves(
    entries: list[Entry], model: str, expected: list[Any]
):
    changes = plan(registry_of(*entries), [], [Running(8100, model, RECORD)], SLOTS, {})
    assert steps(changes) == expected
    assert all((c.entry.port, c.entry.process) == (8100, RECORD) for c in changes if c.entry)


def test_a_model_found_now_can_be_adopted_in_the_same_plan():
    changes = plan(EMPTY, [found()], [Running(8100, "/hub/a1", RECORD)], SLOTS, {})
    assert steps(changes) == [("add", "a", None, True), ("adopt", "a", 8100, True)]
    assert apply(EMPTY, changes).entries["a"].port == 8100


def local(path: str, label: str, place: str) -> CachedModel:
    return CachedModel("", path, {}, place=place, label=label)


def test_a_local_model_gets_an_entry_without_a_repository():
    (change,) = plan(EMPTY, [local("/m/Pub/My Model", "Pub/My Model", "1:2")], [], SLOTS, {})
    assert (change.name, change.reason) == ("my-model", "/m/Pub/My Model")
    assert change.entry == entry("my-model", "", cache_path="/m/Pub/My Model")


def test_two_local_models_are_two_entries_and_none_is_one_of_a_repository():
    found = [local("/m/a/x", "a/x", "1:2"), local("/m/b/x", "b/x", "1:3")]
    changes = plan(registry_of(entry("y")), found, [], SLOTS, {}, {"y": "1:1"})
    assert [change.name for change in changes] == ["x", "b-x"]
    known = apply(registry_of(entry("y")), changes)
    assert plan(known, found, [], SLOTS, {}, {"y": "1:1", "x": "1:2", "b-x": "1:3"}) == ()


def test_a_local_model_whose_entry_lost_its_folder_is_told_and_not_added():
    registry = registry_of(entry("mine", "", cache_path="/gone/Mine"))
    (change,) = plan(
        registry, [local("/m/mine", "mine", "1:2")], [], SLOTS, {}, {"mine": "/gone/Mine"}
    )
    assert (change.action, change.name, change.entry) == ("refresh", "mine", None)
    assert "mlxops set mine cache_path=/m/mine" in change.reason
    other = [local("/m/other", "other", "1:2")]
    (change,) = plan(registry, other, [], SLOTS, {}, {"mine": "/gone/Mine"})
    assert change.action == "add"


def test_a_slot_plans_a_local_model_by_its_name():
    slots = Slots({"mine": 8101}, frozenset({"jerry"}))
    (change,) = plan(EMPTY, [local("/m/mine", "mine", "1:2")], [], slots, {})
    assert change.entry == entry("mine", "", cache_path="/m/mine", slot=8101)


def test_a_server_is_adopted_by_the_folder_that_it_serves_however_it_is_spelled():
    found = [local("/m/mine", "mine", "1:2")]
    server = Running(8100, "/link/mine", RECORD, place="1:2")
    changes = plan(EMPTY, found, [server], SLOTS, {})
    assert steps(changes) == [("add", "mine", None, True), ("adopt", "mine", 8100, True)]


def test_a_server_of_an_unknown_folder_comes_with_the_command_that_registers_it():
    (change,) = plan(EMPTY, [], [Running(8100, "/m/a b", RECORD)], SLOTS, {})
    assert "mlxops register --path '/m/a b' && mlxops init" in change.reason


def test_one_entry_is_adopted_on_one_port_only():
    servers = [Running(8100, "/hub/a1", RECORD), Running(8101, "/hub/a1", RECORD)]
    changes = plan(registry_of(entry("mine")), [], servers, SLOTS, {})
    assert steps(changes) == [("adopt", "mine", 8100, True), ("adopt", "mine", 8101, False)]


@pytest.mark.parametrize(
    ("taken", "slots", "name"),
    [
        ([], (), "model"),
        ([], ("jerry",), "model"),
        ([], ("model",), "org-model"),
        ([], ("model", "org-model"), "org-model-2"),
        (["model"], (), "org-model"),
        (["Model"], (), "org-model"),
        (["model", "org-model"], (), "org-model-2"),
        (["model", "org-model"], ("org-model-2",), "org-model-3"),
    ],
)
def test_a_free_name(taken: list[str], slots: tuple[str, ...], name: str):
    assert free_name(registry_of(*map(entry, taken)), "Org/Model", frozenset(slots)) == name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("My 'Model', v2", "my--model---v2"),
        ("8102", "model-8102"),
        ("pub/2024-01", "model-2024-01"),
        ("-x", "x"),
        ("...", "model"),
    ],
)
def test_a_folders_name_becomes_a_name_that_can_be_typed(label: str, name: str):
    assert free_name(EMPTY, label, frozenset()) == name
    require_valid_name(name)


repos = st.sampled_from(["org/a", "org/b", "two/a", "Two/A", "org/planned"])
entries = st.lists(
    st.builds(
        entry,
        st.sampled_from(["a", "b", "two-a", "jerry"]),
        repos,
        port=st.sampled_from([None, 8100, 8101]),
    ),
    unique_by=lambda e: (e.name, e.port or e.name),
    max_size=4,
)
paths = st.sampled_from(["/hub/a1", "/hub/a2"])
models = st.lists(st.builds(found, repos, paths), unique_by=lambda m: m.repo_id.lower())
servers = st.lists(
    st.builds(
        Running,
        st.sampled_from([8100, 8101, 8102]),
        st.sampled_from(["/hub/a1", "org/b"]),
        st.just(RECORD),
    ),
    unique_by=lambda s: s.port,
)


@given(entries, models, servers)
def test_nothing_is_removed_renamed_or_doubled_and_a_second_init_changes_nothing(
    known: list[Entry], models: list[CachedModel], running: list[Running]
):
    before = registry_of(*known)
    after = apply(before, plan(before, models, running, SLOTS, {}))
    assert list(after.entries)[: len(before.entries)] == list(before.entries)
    assert all(after.entries[e.name].repo_id == e.repo_id for e in before.entries.values())
    assert {e.repo_id.lower() for e in after.entries.values()} >= {
        m.repo_id.lower() for m in models
    }
    assert set(after.duplicates()) <= set(before.duplicates())
    assert apply(after, plan(after, models, running, SLOTS, {})) == after
