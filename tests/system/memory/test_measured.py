"""A real server uses less than the estimate; tests/bench/memory.py measures more families."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.memory import estimated, measured
from tests.support.sizedmodel import write_sized

TOKENS = 700
# Of so small a model most is the server itself, which is counted as large as it was ever seen.
AT_MOST = 3.0


@pytest.mark.slow
def test_a_server_takes_less_than_estimated_and_not_far_less(tmp_path: Path) -> None:
    model = write_sized(
        tmp_path / "model", "llama", hidden_size=256, num_hidden_layers=4, intermediate_size=704
    )
    tokens, held = measured("mlx_lm.server", Path(sys.executable).parent.parent, model, TOKENS)
    sums = estimated("mlx_lm.server", model, tokens)
    assert tokens > TOKENS and sums.kv_bytes and held > sums.weights_bytes
    assert held <= sums.need_bytes <= AT_MOST * held, (held, sums)
