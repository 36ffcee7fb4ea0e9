"""Call the agent of a Studio's host without the command line: faster, and with typed errors."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops import session
from mlxops.agent.errors import MlxopsError
from mlxops.hosts import files as hosts
from tests.support.studio import Studio


def ask(studio: Studio, verb: str, **args: Any) -> dict[str, Any]:
    """The result of a verb. Raises the agent's errors; an internal error of the agent fails the
    test."""
    try:
        return session.call(
            hosts.find_host("studio", str(studio.hosts_dir)), verb, args, lambda _: None
        )
    except MlxopsError as exc:
        assert "trace" not in exc.fields, exc.fields["trace"]
        raise


def refusal(studio: Studio, verb: str, **args: Any) -> MlxopsError:
    with pytest.raises(MlxopsError) as raised:
        ask(studio, verb, **args)
    return raised.value


def rows(studio: Studio) -> dict[int, dict[str, Any]]:
    """The rows of `status` by port."""
    return {row["port"]: row for row in ask(studio, "status")["ports"]}
