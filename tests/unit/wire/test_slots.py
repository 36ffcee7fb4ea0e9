"""Slots of a host file that are valid and probably not meant."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.wire.slots import slot_warnings


def slot(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": None, "served_name": name, **more}


@pytest.mark.parametrize(
    "slots",
    [
        {},
        {"8100": slot("a"), "8101": slot("b")},
        {"8100": slot("a", model="o/a"), "8101": slot("b", model="o/b")},
        {
            "8100": slot("a", served_name="default_model"),
            "8101": slot("b", served_name="default_model"),
        },
    ],
)
def test_slots_that_differ_are_no_fault(slots: dict[str, Any]) -> None:
    assert slot_warnings(slots) == []


def test_a_model_and_a_name_of_two_slots_are_named_with_their_ports() -> None:
    slots = {
        "8100": slot("a", model="o/a", served_name="chat"),
        "8101": slot("b", model="O/A"),
        "8102": slot("chat"),
        "8103": {"name": "chat", "model": "o/a"},
    }
    assert slot_warnings(slots) == [
        "slots 8100 and 8101 and 8103 declare the same model, o/a: a model serves on one port only",
        "slots 8100 and 8102 and 8103 have the same served name, chat:"
        " clients cannot tell their models apart",
    ]
