"""Plans and their execution on a Studio, without the command line."""

from __future__ import annotations

from typing import Any

from mlxops import session
from mlxops.hosts import files as hosts
from tests.support.asking import ask
from tests.support.studio import Studio


def verdicts(result: dict[str, Any]) -> list[str]:
    return [row["verdict"] for row in result["rows"]]


def plan(studio: Studio, **args: Any) -> dict[str, Any]:
    return ask(studio, "plan", **args)


def apply(studio: Studio, **args: Any) -> dict[str, Any]:
    return ask(studio, "apply", **args)


def applied_with_events(studio: Studio, **args: Any) -> list[dict[str, Any]]:
    """The events of an apply that must succeed."""
    events: list[dict[str, Any]] = []
    host = hosts.find_host("studio", str(studio.hosts_dir))
    result = session.call(host, "apply", args, events.append)
    assert all(row["ok"] for row in result["rows"]), result
    return events
