"""What should serve on each port: declarations, wants, and what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxops.agent.errors import Usage
from mlxops.agent.registry.entries import Registry, parse
from mlxops.agent.slots.intent import PlanOptions, find_targets
from mlxops.agent.slots.plan import Sizes, plan
from tests.support.slots import (
    PORTS,
    entry,
    everywhere,
    plan_for,
    raw_site,
    registry,
    row,
    serves,
    site,
    verdicts,
)


def refusal(declared: dict[int, str], *entries: Any, **options: Any) -> Usage:
    with pytest.raises(Usage) as raised:
        find_targets(
            raw_site(declared), registry(*entries), PlanOptions(**{"ports": PORTS, **options})
        )
    return raised.value


def test_a_model_declared_for_two_ports_is_refused_with_both_keys():
    error = refusal({8100: "org/a", 8103: "Org/A"})
    assert error.exit_code == 2
    assert error.fields["keys"] == ["slots.8100.model", "slots.8103.model"]
    assert "slots.8100.model and slots.8103.model" in error.message


def test_two_names_of_one_entry_are_the_same_model():
    error = refusal({8100: "org/a", 8103: "org/alias"}, entry("a", model_id="org/alias"))
    assert error.fields["keys"] == ["slots.8100.model", "slots.8103.model"]


def test_two_models_without_an_entry_are_not_the_same():
    targets = find_targets(site({8100: "a", 8101: "b"}), registry(), PlanOptions(PORTS))
    assert [targets[port].model for port in (8100, 8101)] == ["org/a", "org/b"]


def test_a_declared_name_is_refused_with_the_models_that_it_may_mean():
    error = refusal({8100: "jerry-xl"}, entry("jerry-xl", repo_id="org/Jerry-XL-4bit"))
    assert error.exit_code == 2
    assert (error.fields["key"], error.fields["near"]) == (
        "slots.8100.model",
        ["org/Jerry-XL-4bit"],
    )
    assert error.hint == "did you mean org/Jerry-XL-4bit?"


def test_a_declared_name_that_several_may_mean_lists_them():
    error = refusal({8100: "jer"}, entry("jerry-a"), entry("jerry-b"))
    assert error.fields["near"] == ["org/jerry-a", "org/jerry-b"]


def test_a_misspelled_declared_name_lists_what_is_near():
    assert refusal({8100: "jery"}, entry("jerry")).fields["near"] == ["org/jerry"]
    assert refusal({8100: "zzz"}, entry("jerry")).fields["near"] == []


def test_a_faulty_declaration_of_a_port_that_is_not_asked_for_is_no_refusal():
    faulty = raw_site({8100: "jerry", 8101: "org/a", 8102: "org/a", 8103: "org/b"})
    targets = find_targets(faulty, registry(), PlanOptions((8103,)))
    assert targets[8103].model == "org/b"
    made = plan(faulty, registry(), everywhere(), Sizes(), PlanOptions((8103,)))
    assert any("8101 and 8102 declare the same model" in text for text in made.warnings)


def test_faulty_declarations_do_not_matter_to_what_is_wanted():
    faulty = raw_site({8100: "jerry", 8101: "org/a", 8102: "org/a"})
    find_targets(faulty, registry(), PlanOptions(PORTS, "wanted"))


def test_a_model_may_be_declared_in_any_case():
    made = plan_for({8100: "Org/A"}, [entry("a", 8100, 8100)], [serves("a", 8100)])
    assert verdicts(made) == {8100: "same"}


TWO = {"one": {"repo_id": "org/a", "model_id": "org/a"}, "two": {"repo_id": "org/a"}}


@pytest.mark.parametrize("field", ["wanted", "slot", "port"])
def test_of_two_entries_of_a_repository_the_ports_own_is_meant(field: str):
    entries = [entry(name, **fields) for name, fields in TWO.items()]
    entries[1] = entries[1].with_fields(**{field: 8100})
    targets = find_targets(site({8100: "a"}), registry(*entries), PlanOptions(PORTS))
    assert targets[8100].model == "two"


def test_of_two_entries_of_a_repository_none_is_guessed():
    entries = [entry(name, **fields) for name, fields in TWO.items()]
    made = plan_for({8100: "a"}, entries)
    assert verdicts(made) == {8100: "blocked ModelAmbiguous"}


def test_two_entries_that_want_a_port_are_refused_for_that_port():
    made = plan_for({}, [entry("a", None, 8100), entry("b", None, 8100), entry("c", None, 8101)])
    assert verdicts(made) == {8100: "blocked AssignmentConflict", 8101: "load"}
    assert "a and b" in row(made, 8100).reason
    assert row(made, 8100).hint.endswith("mlxops load a 8100")


def test_of_two_that_want_a_port_the_one_that_is_declared_elsewhere_does_not_count():
    made = plan_for({8105: "a"}, [entry("a", None, 8100), entry("b", None, 8100)])
    assert verdicts(made) == {8100: "load", 8105: "load"}
    assert row(made, 8100).entry == "b"


def test_a_port_of_another_range_that_is_wanted_is_a_warning():
    made = plan_for({}, [entry("a", None, 9000)])
    assert made.warnings == ("a wants port 9000, which is not a port of studio",)
    assert made.changes == 0


def stored(**fields: Any) -> Registry:
    models = {"a": {"repo_id": "org/a", "cache_path": "/hub/a", "port": None, **fields}}
    return parse(json.dumps({"version": 1, "models": models}).encode())


def test_a_wanted_port_as_text_is_that_port():
    made = plan(site(), stored(wanted="8100"), everywhere(), Sizes(), PlanOptions(PORTS))
    assert verdicts(made) == {8100: "load"}


def test_two_slots_with_one_served_name_are_a_warning():
    raw = site({8100: "a", 8101: "b"}).raw
    raw["slots"]["8101"]["served_name"] = "s8100"  # type: ignore[index]
    made = plan(site(), registry(), everywhere(), Sizes(), PlanOptions(PORTS))
    assert made.warnings == ()
    shared = site()._replace(raw=raw)
    made = plan(shared, registry(), everywhere(), Sizes(), PlanOptions(PORTS))
    assert [text for text in made.warnings if "served name" in text]


def test_a_wanted_model_on_a_port_without_a_slot_is_a_warning():
    ten = (*PORTS, 8110)
    bare = site(None, PORTS)._replace(ports=ten)
    wants = registry(entry("a", None, 8110, runtime="mlx-openai-server"), entry("b", None, 8100))
    made = plan(bare, wants, everywhere(ports=ten), Sizes(), PlanOptions(ten))
    assert [text for text in made.warnings if "8110" in text and "a" in text]
    fixed = registry(entry("a", None, 8110))
    made = plan(bare, fixed, everywhere(ports=ten), Sizes(), PlanOptions(ten))
    assert not [text for text in made.warnings if "8110" in text]
