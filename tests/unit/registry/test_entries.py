"""The registry as a value: how odd files are read, what a write preserves, one port per model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.errors import RegistryInvalid
from mlxops.agent.registry import entries as registry
from mlxops.agent.registry.entries import (
    EMPTY,
    REQUIRED,
    Entry,
    Registry,
    dump,
    parse,
    with_implied_wants,
)

FIELDS = {
    "repo_id": "org/model",
    "model_id": "org/model",
    "cache_path": "/hub/x",
    "format": "mlx",
    "port": 8100,
    "wanted": 8100,
}
PORTS = range(8100, 8104)
NAMES = ("amber", "jade", "topaz")


def file_of(fields: Any = None, name: str = "amber", **top: Any) -> bytes:
    return json.dumps(
        {"version": 1, "models": {name: FIELDS if fields is None else fields}, **top}
    ).encode()


def only(content: bytes) -> Entry:
    (entry,) = parse(content).entries.values()
    return entry


def test_the_designs_own_example_reads_and_writes_back_unchanged():
    fields = {
        **FIELDS,
        "chat_template": "/t.jinja",
        "tool_call_parser": "qwen3_moe",
        "reasoning_parser": "qwen3",
    }
    assert json.loads(dump(parse(file_of(fields)))) == {"version": 1, "models": {"amber": fields}}


def test_an_empty_registry_is_valid_and_ends_with_a_newline():
    assert dump(EMPTY).endswith(b"}\n")
    assert parse(dump(EMPTY)) == EMPTY


def test_writing_is_readable_for_people():
    written = dump(parse(file_of({**FIELDS, "cache_path": "/Bücher/日本"}))).decode()
    assert '\n      "cache_path": "/Bücher/日本"' in written


@pytest.mark.parametrize("key", ["repo_id", "model_id", "cache_path", "format", "port"])
def test_a_new_entry_is_written_with_all_that_is_always_there(key: str):
    entry = Entry("amber", {**REQUIRED, "repo_id": "org/model"})
    assert key in json.loads(dump(EMPTY.put(entry)))["models"]["amber"]


ODD = (
    {**FIELDS, "port": "8100", "slot": " 8101 "},
    {**FIELDS, "port": "", "model_id": ""},
    {**FIELDS, "model_id": None, "args": "--debug", "slot": None},
    {**FIELDS, "args": ["--seed", 7], "process": None, "chat_template": None},
    {**FIELDS, "hosts": [], "x": {"port": "8100", "y": 1.50}},
    {"repo_id": "org/model"},
    {},
)


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_write_leaves_every_field_alone_that_was_not_changed(odd: dict[str, Any]):
    """Values are read by their meaning and written unchanged, also beside a field that changes."""
    before = parse(json.dumps({"version": 1, "models": {"amber": odd, "jade": FIELDS}}).encode())
    other = before.put(before.entries["jade"].with_fields(revision="main"))
    assert json.loads(dump(other))["models"] == {
        "amber": odd,
        "jade": {**FIELDS, "revision": "main"},
    }
    changed = before.put(before.entries["amber"].with_fields(revision="main"))
    assert json.loads(dump(changed))["models"]["amber"] == {**odd, "revision": "main"}
    assert list(json.loads(dump(changed))["models"]["amber"]) == [*odd, "revision"]
    assert [row["field"] for row in registry.changes(before, changed)] == ["revision"]
    moved = before.put(before.entries["amber"].with_fields(port=8103))
    assert json.loads(dump(moved))["models"]["amber"] == {**odd, "port": 8103}
    moved = with_implied_wants(moved)
    assert parse(dump(moved)).entries["amber"].fields == moved.entries["amber"].fields


def test_a_missing_model_id_is_the_repo_id():
    assert only(file_of({"repo_id": "org/model"})).model_id == "org/model"
    assert only(file_of({"repo_id": "org/model", "model_id": None})).model_id == "org/model"


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        (8100, 8100),
        ("8100", 8100),
        (" 8100 ", 8100),
        (8100.0, 8100),
        (None, None),
        ("", None),
        (1, 1),
        (65535, 65535),
    ],
)
@pytest.mark.parametrize("key", ["port", "slot"])
def test_ports_are_read_as_what_they_plainly_mean(key: str, stored: Any, meant: int | None):
    assert only(file_of({**FIELDS, key: stored})).fields[key] == meant


NO_PORTS = [
    0,
    -1,
    65536,
    8100.5,
    True,
    False,
    "x",
    "8100x",
    [8100],
    {},
    10**400,
    1e300,
    "9" * 5000,
    "-8100",
    "²",
]


@pytest.mark.parametrize("stored", NO_PORTS, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("key", ["port", "slot"])
def test_what_is_no_port_is_refused_with_its_entry_and_field(key: str, stored: Any):
    with pytest.raises(RegistryInvalid) as refused:
        parse(file_of({**FIELDS, key: stored}))
    assert (refused.value.fields["entry"], refused.value.fields["field"]) == ("amber", key)


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        (None, ()),
        ([], ()),
        ("--debug", ("--debug",)),
        (["--seed", 7], ("--seed", "7")),
        (["--temp", 0.5], ("--temp", "0.5")),
    ],
)
def test_args_are_a_list_of_words(stored: Any, meant: tuple[str, ...]):
    assert only(file_of({**FIELDS, "args": stored})).args == meant


@pytest.mark.parametrize("stored", [5, {"a": 1}, [None], [["--x"]], [True], ["a\0b"]], ids=repr)
def test_args_that_are_no_words_are_refused(stored: Any):
    with pytest.raises(RegistryInvalid, match=r"amber.*args"):
        parse(file_of({**FIELDS, "args": stored}))


@pytest.mark.parametrize(
    "key", ["repo_id", "model_id", "cache_path", "revision", "runtime", "chat_template"]
)
def test_text_must_be_text_or_null(key: str):
    assert only(file_of({**FIELDS, key: None})).text(key) is None or key == "model_id"
    with pytest.raises(RegistryInvalid, match=key):
        parse(file_of({**FIELDS, key: 7}))


@pytest.mark.parametrize(
    "process", [[], "1", 1, {"pid": [1]}, {"pid": "x"}, {"pid": True}, {"pid": 1.5}], ids=repr
)
def test_a_process_that_names_none_is_refused(process: Any):
    with pytest.raises(RegistryInvalid, match="process"):
        parse(file_of({**FIELDS, "process": process}))


def test_a_process_is_kept_as_it_is():
    record = {"pid": 77, "start_time": "x", "argv": ["a"], "launched_at": "t", "note": "ours"}
    assert only(file_of({**FIELDS, "process": record})).process == record
    assert only(file_of({**FIELDS, "process": None})).process is None


def test_null_models_are_no_models():
    assert parse(b'{"version": 1, "models": null}') == EMPTY
    assert parse(b'{"version": 1}') == EMPTY


@pytest.mark.parametrize("version", ["", '"version": 1,', '"version": "1",', '"version": 1.0,'])
def test_version_one_in_every_plain_spelling_and_missing(version: str):
    content = f'{{{version} "models": {{}}}}'.encode()
    assert parse(content) == EMPTY
    assert json.loads(dump(parse(content)))["version"] == 1


@pytest.mark.parametrize("version", [2, 0, "2", True, None, [1], {}, 1.5, -1, "one"], ids=repr)
def test_another_version_is_refused(version: Any):
    with pytest.raises(RegistryInvalid) as refused:
        parse(file_of(version=version))
    assert refused.value.fields["version"] == version
    assert refused.value.exit_code == 5


def test_version_two_with_lanes_is_named_as_such():
    with pytest.raises(RegistryInvalid, match=r"version 2 with `lanes`.*nothing was changed"):
        parse(b'{"version": 2, "lanes": {"a": {}}, "models": {}}')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
unknown = st.dictionaries(st.text().map("x-{}".format), json_values, max_size=3)
entries = st.dictionaries(st.text().filter(lambda name: "\0" not in name), unknown, max_size=4)


@given(entries=entries, top=unknown, within=unknown)
def test_unknown_fields_at_every_level_survive_an_edit(
    entries: dict[str, Any], top: dict[str, Any], within: dict[str, Any]
):
    models = {
        name: {**REQUIRED, "model_id": "org/model", "process": {"pid": 1, **within}, **more}
        for name, more in entries.items()
    }
    document = {"version": 1, "models": models, **top}
    before = parse(json.dumps(document).encode())
    edited = (
        before.put(Entry("extra", {**REQUIRED})).drop("extra") if "extra" not in models else before
    )
    for name in models:
        edited = edited.assign(name, 8100, before.entries[name].process).clear(8100).forget(8100)
        models[name].pop("process")
    assert json.loads(dump(parse(dump(edited)))) == document


steps = st.lists(
    st.tuples(
        st.sampled_from(["assign", "clear", "drop"]), st.sampled_from(NAMES), st.sampled_from(PORTS)
    ),
    max_size=30,
)


def take(current: Registry, what: str, name: str, port: int) -> Registry:
    if what == "clear":
        return current.clear(port)
    if name not in current.entries:
        return current.put(Entry(name, {**REQUIRED, "slot": port}))
    return current.drop(name) if what == "drop" else current.assign(name, port, {"pid": port})


@given(steps)
def test_one_port_one_model_both_ways_after_any_sequence(steps: list[tuple[str, str, int]]):
    current = EMPTY
    for what, name, port in steps:
        current = with_implied_wants(take(current, what, name, port))
        assert current.duplicates() == {}
        assert all(len(current.holders(p)) <= 1 for p in PORTS)
        assert all((e.process is None) == (e.port is None) for e in current.entries.values())
        assert all(len(current.wanting(p)) <= 1 for p in PORTS)
        assert parse(dump(current)) == current


def registry_of(**ports: int | None) -> Registry:
    return Registry(
        {
            n: Entry(n, {**REQUIRED, "port": p, "slot": 8103, "process": {"pid": 1}})
            for n, p in ports.items()
        },
        {},
    )


def test_assigning_takes_the_port_from_whoever_held_it_and_keeps_the_intent():
    after = registry_of(amber=8100, jade=8101).assign("jade", 8100, {"pid": 2})
    assert [(e.name, e.port, e.process, e.slot) for e in after.entries.values()] == [
        ("amber", None, None, 8103),
        ("jade", 8100, {"pid": 2}, 8103),
    ]


def test_clearing_one_port_leaves_the_others_and_both_holders_of_a_hand_edit_go():
    after = registry_of(amber=8100, jade=8100, topaz=8101).clear(8100)
    assert {e.name: e.port for e in after.entries.values()} == {
        "amber": None,
        "jade": None,
        "topaz": 8101,
    }


def test_duplicates_name_every_claimant_in_file_order():
    assert registry_of(topaz=8100, amber=8100, jade=8101).duplicates() == {8100: ("topaz", "amber")}


def test_a_field_set_to_none_goes_away_unless_it_is_always_there():
    entry = Entry("amber", {**FIELDS, "chat_template": "/t", "unknown": None}).with_fields(
        chat_template=None, port=None
    )
    assert entry.fields == {**FIELDS, "port": None, "unknown": None}


def test_changes_name_field_before_and_after():
    before = registry_of(amber=8100)
    after = before.clear(8100).put(Entry("jade", {"port": None}))
    assert registry.changes(before, after) == [
        {"entry": "amber", "field": "port", "before": 8100, "after": None},
        {"entry": "amber", "field": "process", "before": {"pid": 1}, "after": None},
        {"entry": "jade", "field": "port", "before": None, "after": None},
    ]
    assert registry.changes(before, before) == []


def test_a_removed_entry_is_a_change_of_all_its_fields():
    rows = registry.changes(registry_of(amber=None), EMPTY)
    assert {row["field"] for row in rows} == {*REQUIRED, "slot", "process"}
    assert {row["after"] for row in rows} == {None}
