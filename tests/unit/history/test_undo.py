"""The reverse of an edit: exactly its fields, only where nothing has changed them since, and never
a port."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.errors import AssignmentConflict
from mlxops.agent.history.edit import Edit, parse_edit
from mlxops.agent.history.rows import HistoryRow
from mlxops.agent.history.undo import moved_servers, name_of_undo, reverse, revert_command
from mlxops.agent.registry.entries import EMPTY, REQUIRED, Entry, Registry, changes
from tests.unit.history.test_rows import assigned, edit, ready


def entry(name: str, **fields: Any) -> Entry:
    return Entry(name, {**REQUIRED, "repo_id": f"o/{name}", "model_id": f"o/{name}", **fields})


A, B = entry("a", slot=8100, args=["--x"]), entry("b", tool_call_parser="qwen3", wanted=8101)
NOW = EMPTY.put(A, B)


def made(before: Registry, after: Registry, why: str = "set") -> Edit:
    """The edit that turned one registry into the other."""
    at = "2026-11-28T07:00:00Z"
    line = {"at": at, "who": "ann", "what": why, "changes": changes(before, after)}
    parsed = parse_edit(line)
    assert parsed is not None
    return parsed


AFTERS = [
    ("a field is set", NOW.put(A.with_fields(slot=8102, args=None))),
    ("an option is added", NOW.put(A.with_fields(reasoning_parser=""))),
    ("one is added", NOW.put(entry("c", slot=8101))),
    ("one is removed", NOW.drop("b")),
    ("one is renamed", EMPTY.put(A._replace(name="z"), B)),
    ("several at once", NOW.put(entry("c"), B.with_fields(cache_path="/x"))),
]


@pytest.mark.parametrize("after", [after for _, after in AFTERS], ids=[name for name, _ in AFTERS])
def test_an_edit_and_its_reverse_leave_the_registry_and_so_does_the_reverse_of_that(
    after: Registry,
) -> None:
    there = made(NOW, after)
    back = reverse(after, there)
    assert back.registry.entries == NOW.entries and back.steps
    again = reverse(back.registry, made(after, back.registry))
    assert again.registry.entries == after.entries


def refused(now: Registry, there: Edit) -> AssignmentConflict:
    with pytest.raises(AssignmentConflict, match=r"^not undone: ") as raised:
        reverse(now, there)
    return raised.value


def test_what_changed_since_is_named_and_nothing_else_counts() -> None:
    set_slot = made(NOW, NOW.put(A.with_fields(slot=8102)))
    since = NOW.put(A.with_fields(slot=8103))
    assert refused(since, set_slot).message == "not undone: slot of a changed since"
    assert "no longer" in refused(EMPTY, set_slot).message
    other = NOW.put(A.with_fields(slot=8102, port=8100, process={"pid": 7}), entry("c"))
    assert reverse(other, set_slot).registry.entries["a"].fields == {
        **A.fields,
        "port": 8100,
        "process": {"pid": 7},
    }


def test_an_added_entry_goes_only_as_it_was_added_and_while_it_is_not_loaded() -> None:
    added = made(NOW, NOW.put(entry("c")))
    loaded = refused(NOW.put(entry("c", port=8101)), added)
    assert (loaded.hint, loaded.fields["port"]) == ("mlxops unload 8101", 8101)
    assert refused(NOW.put(entry("c", slot=8101)), added).fields["fields"] == ["slot"]
    was_loaded = NOW.put(entry("c", start_s={"x": [1.0]}, wanted=8101))
    assert "c" not in reverse(was_loaded, added).registry.entries


def test_a_removed_entry_comes_back_without_a_port_that_another_wants() -> None:
    removed = made(NOW, NOW.drop("b"))
    now = NOW.drop("b").put(A.with_fields(wanted=8101))
    back = reverse(now, removed)
    assert back.registry.entries["b"].wanted is None and "8101" in back.steps[0].reason
    assert reverse(NOW.drop("b"), removed).registry.entries["b"].wanted == 8101
    assert "in use again" in refused(NOW, removed).message
    twin = NOW.drop("b").put(entry("other", repo_id="O/B"))
    assert refused(twin, removed).message == "not undone: o/b is registered as other now"


def test_no_port_and_no_process_is_ever_restored() -> None:
    served = NOW.put(A.with_fields(port=8100, process={"pid": 7}))
    removed = made(served, served.drop("a"))
    back = reverse(served.drop("a"), removed).registry.entries["a"]
    assert back.port is None and back.process is None
    adopted = made(NOW, NOW.put(A.with_fields(port=8100, process={"pid": 7}, slot=8101)))
    after = NOW.put(A.with_fields(port=8100, process={"pid": 7}, slot=8101))
    kept = reverse(after, adopted).registry.entries["a"]
    assert (kept.port, kept.slot) == (8100, 8100)


def test_a_rename_takes_the_assignment_along_and_needs_a_free_name() -> None:
    renamed = made(NOW, EMPTY.put(A._replace(name="z"), B), "rename a z")
    now = EMPTY.put(A._replace(name="z").with_fields(port=8100, process={"pid": 7}), B)
    back = reverse(now, renamed).registry
    assert list(back.entries) == ["a", "b"] and back.entries["a"].port == 8100
    assert "in use again" in refused(now.put(A), renamed).message
    assert "no longer" in refused(EMPTY.put(B), renamed).message


def test_what_moved_servers_is_reverted_by_a_command() -> None:
    load = HistoryRow(None, (assigned(1, "b", "a"), ready(2, "b")))
    assert all(moved_servers(one) for one in load.edits)
    assert revert_command(NOW, load) == "mlxops load a 8100 --replace"
    assert revert_command(NOW.drop("a"), load) == ""
    first = HistoryRow(None, (assigned(1, "b"), ready(2, "b")))
    assert revert_command(NOW, first) == "mlxops unload 8100"
    free = {"entry": "a", "field": "port", "before": 8100, "after": None}
    for why in ("unload 8100", "reconcile: a on 8100 is gone"):
        assert revert_command(NOW, HistoryRow(None, (edit(1, why, free),))) == "mlxops load a 8100"
    assert moved_servers(edit(1, "init", free)) and not moved_servers(made(NOW, NOW.drop("a")))


def test_the_names_of_undos_do_not_grow() -> None:
    names = ["set a"]
    for _ in range(4):
        names.append(name_of_undo(names[-1]))
    assert names[1:] == ["undo of set a", "undo of undo of set a"] * 2
