"""The command that follows a check that found a problem."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.cli.check_errors import verify_error

SERVES = {"port": 8100, "ok": False, "checks": [{"check": "plain", "ok": False}]}
DRIFTS = {"port": 8101, "ok": False, "checks": [{"check": "registry", "ok": False}]}
DEAD = {"port": 8102, "ok": False, "checks": [{"check": "state", "ok": False}]}
WELL = {"port": 8103, "ok": True, "checks": [{"check": "registry", "ok": True}]}
REFUSED = [{"entry": "two words", "ok": False}, {"entry": "amber", "ok": True}]


@pytest.mark.parametrize(
    ("ports", "entries", "verbose", "hint"),
    [
        ([SERVES, WELL], [], False, "mlxops verify -v 8100"),
        ([SERVES, WELL], [], True, "mlxops logs 8100"),
        ([DRIFTS], [], False, "mlxops status 8101"),
        ([SERVES, DRIFTS, DEAD], REFUSED, True, "mlxops status 8101 8102"),
        ([WELL], REFUSED, False, "mlxops show 'two words'"),
    ],
)
def test_verify(
    ports: list[dict[str, Any]], entries: list[dict[str, Any]], verbose: bool, hint: str
) -> None:
    error = verify_error({"ports": ports, "entries": entries}, verbose)
    assert error and error.hint == hint


def test_verify_without_a_problem() -> None:
    assert verify_error({"ports": [WELL], "entries": []}) is None
