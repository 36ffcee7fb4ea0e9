"""The real servers: a watch learns that they react, and their logs do not grow by a byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops import session
from mlxops.agent.ports.probe import reaction_time_ms
from mlxops.agent.site import log_path
from mlxops.hosts.files import find_host
from tests.support.studio import Studio, eventually

pytestmark = pytest.mark.slow
LOOKS, PULSES = 60, 50


class Enough(Exception):
    """The watch has looked often enough."""


def look(studio: Studio) -> dict[str, Any]:
    """The row of the first port, after many looks."""
    seen: list[dict[str, Any]] = []

    def take(event: dict[str, Any]) -> None:
        seen.append(event)
        if len(seen) >= LOOKS:
            raise Enough

    host = find_host("studio", str(studio.hosts_dir))
    with pytest.raises(Enough):
        session.call(host, "watch", {"interval_s": 0.2}, take)
    row: dict[str, Any] = seen[0]["ports"][0]
    return row


def leaves_no_trace(studio: Studio) -> None:
    studio.must("init")
    port = studio.ports[0]
    studio.must("load", "amber", port)
    log = Path(log_path(str(studio.state_dir), port))
    before = log.read_bytes()
    row = look(studio)
    assert (row["state"], row["drift"]) == ("ready", None) and row["latency_ms"] is not None
    assert None not in [reaction_time_ms("127.0.0.1", port, 5.0) for _ in range(PULSES)]
    assert log.read_bytes() == before
    # A request is logged, so the bytes above are all there were.
    studio.ask(port, row["served_model"])
    eventually(lambda: len(log.read_bytes()) > len(before))


def test_mlx_lm_server(make_studio: Callable[..., Studio], light_runtime: dict[str, Any]) -> None:
    leaves_no_trace(make_studio(None, light_runtime))


@pytest.mark.openai_server
def test_mlx_openai_server(
    make_studio: Callable[..., Studio], openai_runtime: dict[str, Any]
) -> None:
    leaves_no_trace(make_studio(None, openai_runtime))
