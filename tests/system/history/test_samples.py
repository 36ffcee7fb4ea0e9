"""Samples of memory and requests, taken by reconcile and at the end of a load."""

from __future__ import annotations

import json
from typing import Any

from tests.support.studio import CHAT, Studio, post


def samples(studio: Studio) -> list[dict[str, Any]]:
    lines = (studio.state_dir / "samples.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def aged(studio: Studio) -> None:
    """Make the samples so old that reconcile takes another one."""
    path = studio.state_dir / "samples.jsonl"
    rows = [{**row, "at": "2026-01-01T00:00:00Z"} for row in samples(studio)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_load_and_reconcile_record_memory_and_requests(one: Studio) -> None:
    port = one.ports[0]
    one.must("load", "amber", port)
    first = samples(one)[-1]["ports"][str(port)]
    assert first["entry"] == "amber" and first["memory_bytes"] > 1 << 20
    assert first["requests"] == 0
    row = one.must("history", "-n", 1)["changes"][0]
    assert row["memory_bytes"] == first["memory_bytes"]
    for _ in range(3):
        post(port, CHAT, {"messages": [{"role": "user", "content": "hello"}]})
    one.must("reconcile")
    whole = samples(one)[-1]
    assert whole["whole"] and whole["total_bytes"] > whole["available_bytes"] > 0
    assert whole["ports"][str(port)]["requests"] == 3
    one.must("reconcile")
    assert len(samples(one)) == 2
    aged(one)
    post(port, CHAT, {"messages": [{"role": "user", "content": "hello"}]})
    one.must("reconcile")
    assert samples(one)[-1]["ports"][str(port)]["requests"] == 4
    one.must("unload", port)
    aged(one)
    one.must("reconcile")
    assert samples(one)[-1]["ports"] == {}
    one.must("reconcile", "--dry-run")
    assert len(samples(one)) == 4


def test_a_sample_that_cannot_be_written_fails_nothing(one: Studio) -> None:
    (one.state_dir / "samples.jsonl").mkdir()
    (one.state_dir / "jobs.jsonl").mkdir()
    assert one.must("load", "amber", one.ports[0])["state"] == "ready"
    assert one.must("reconcile")["actions"] == []
    assert one.must("history", "-n", 1)["changes"][0]["entry"] == "amber"
