"""Faults of the slots of a host file that are no errors. Shared by client and agent."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping

# Port, as text, -> name, model and served_name: the slots of a request's site.
Slots = Mapping[str, Mapping[str, Any]]

# Clients of mlx_lm.server ask for this name on every port, so slots may share it.
SHARED_NAME = "default_model"


def slot_warnings(slots: Slots) -> List[str]:
    """A sentence for each model and each served name that two slots have in common."""
    models = _ports_by(slots, lambda slot: slot.get("model"), str.lower)
    names = _ports_by(slots, lambda slot: slot.get("served_name") or slot.get("name"))
    return [
        *(
            "slots %s declare the same model, %s: a model serves on one port only" % (ports, model)
            for model, ports in models.items()
        ),
        *(
            "slots %s have the same served name, %s: clients cannot tell their models apart"
            % (ports, name)
            for name, ports in names.items()
            if name != SHARED_NAME
        ),
    ]


def _ports_by(
    slots: Slots, value: Callable[[Mapping[str, Any]], Any], fold: Callable[[str], str] = str
) -> Dict[str, str]:
    """value -> "8100 and 8101", for each value that several slots have; of values that `fold` makes
    alike, the first."""
    ports: Dict[str, List[str]] = {}
    spelled: Dict[str, str] = {}
    for port, slot in sorted(slots.items(), key=lambda item: int(item[0])):
        if value(slot):
            name = spelled.setdefault(fold(value(slot)), value(slot))
            ports.setdefault(name, []).append(port)
    return {name: " and ".join(some) for name, some in ports.items() if len(some) > 1}


def no_slot_warning(port: int, entry: str) -> str:
    """The sentence for a port without a slot whose server answers to its entry's name."""
    return (
        "port %d has no slot in the host file: clients must ask for %s, the name of the entry,"
        " which changes with every swap" % (port, entry)
    )
