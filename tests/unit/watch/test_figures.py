"""Rates of generation, as servers write them into their logs."""

from __future__ import annotations

import pytest

from mlxops.agent.watch.figures import logged_rate

VLLM = (
    "INFO loggers.py:123] Engine 000: Avg prompt throughput: 215.3 tokens/s, "
    "Avg generation throughput: 31.4 tokens/s, Running: 1 reqs, Waiting: 0 reqs"
)


@pytest.mark.parametrize(
    ("log", "rate"),
    [
        (VLLM, 31.4),
        (f"{VLLM}\n{VLLM.replace('31.4', '28')}\n", 28.0),
        ("Prompt: 20 tokens, 115.9 tokens-per-sec", None),
        ("Generation: 100 tokens, 42.7 tokens/s", 42.7),
        ("generated 64 tokens (55.25 tok/s)", 55.25),
        ("speed 9.5 tokens/sec", 9.5),
        ("tokens_per_second: 17.5", 17.5),
        ("INFO - Prompt processing progress: 2048/8192", None),
        ("GET /health HTTP/1.1 200 - 4 tokens/second-class", None),
        ("", None),
    ],
)
def test_the_last_rate_of_generation_counts(log: str, rate: float | None):
    assert logged_rate(log.encode()) == rate
