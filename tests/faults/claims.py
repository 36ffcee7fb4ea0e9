"""Whether the result of a verb claims complete success."""

from __future__ import annotations

from typing import Any

from .scene import MODELS


def emptied(result: Any) -> bool:
    """Every port except the stranger's."""
    return sum(not row["ok"] for row in result["ports"]) <= 1


def taken_in(result: Any) -> bool:
    """All models, and nothing that could not be observed."""
    added = {action["entry"] for action in result["actions"] if action["action"] == "add"}
    return added >= set(MODELS) and not result["drift"]


def cleared(result: Any) -> bool:
    return any(action["action"] == "clear" and action["applied"] for action in result["actions"])


def mended(result: Any) -> bool:
    return any(action["applied"] for action in result["actions"])


def complete(result: Any) -> bool:
    """Every port of a plan."""
    return all(row["ok"] for row in result["rows"])
