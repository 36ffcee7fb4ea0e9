"""The fields a new entry gets from its model's family: those that the runtime has options for."""

from __future__ import annotations

from typing import Dict

from . import families
from .runtimes import Offered, Runtime


def fields(runtime: Runtime, snapshot: str) -> Dict[str, str]:
    """Proposed fields, by the family of the snapshot's model; {} for a family nobody knows."""
    return {key: value for key, value in families.propose(snapshot).items() if getattr(runtime, key)}


def accepted(runtime: Runtime, snapshot: str, flags: Offered) -> Dict[str, str]:
    """Of these, what the help of the installed version lists."""
    proposed = fields(runtime, snapshot)
    return {key: value for key, value in proposed.items() if _listed(value, flags.get(getattr(runtime, key)))}


def _listed(value: str, choices: object) -> bool:
    return isinstance(choices, tuple) and (not choices or value in choices)
