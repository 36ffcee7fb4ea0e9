"""Samples as series for a chart."""

from __future__ import annotations

from typing import Any

from mlxops.agent.clock import epoch
from mlxops.agent.history.series import MAX_POINTS, to_series
from tests.unit.history.test_rows import moment

GIB = 1 << 30


def sample(second: int, ports: dict[str, Any], whole: bool = True) -> dict[str, Any]:
    figures = {"total_bytes": 8 * GIB, "available_bytes": 4 * GIB}
    return {"at": moment(second), "whole": whole, **figures, "ports": ports}


def used(memory: int, requests: int | None = None) -> dict[str, Any]:
    return {"entry": "a", "memory_bytes": memory, "requests": requests}


def test_a_port_ends_where_a_whole_sample_lacks_it() -> None:
    made = to_series(
        [
            sample(0, {"8100": used(1, 5)}),
            sample(60, {"8101": used(2)}, whole=False),
            sample(120, {"8101": used(2)}),
            sample(180, {}),
        ],
        "",
    )
    start = int(epoch(moment(0)) or 0)
    assert made["ports"] == {
        "8100": [(start, "a", 1, 5), (start + 120, None, None, None)],
        "8101": [
            (start + 60, "a", 2, None),
            (start + 120, "a", 2, None),
            (start + 180, None, None, None),
        ],
    }
    assert made["machine"][0] == [start, 8 * GIB, 4 * GIB]


def test_many_samples_are_thinned_and_keep_the_peak() -> None:
    rows = [sample(n, {"8100": used(9 * GIB if n == 1234 else GIB, n)}) for n in range(3000)]
    points = to_series(rows, "")["ports"]["8100"]
    assert len(points) <= 2 * MAX_POINTS and max(p[2] or 0 for p in points) == 9 * GIB
    assert points[-1][3] == 2999


def test_only_newer_samples_and_only_figures() -> None:
    odd = {"entry": 7, "memory_bytes": "much", "requests": -1}
    rows = [sample(0, {"8100": used(1)}), sample(9, {"8100": odd, "x": used(1), "8101": 3})]
    made = to_series(rows, moment(5))
    assert [point[1:] for point in made["ports"]["8100"]] == [(None, None, None)]
    assert list(made["ports"]) == ["8100"]
