"""Without a runtime to ask, no model type's cache is counted as smaller than mlx-lm makes it."""

from __future__ import annotations

import pytest

from mlxops.agent.memory import kvcache
from tests.support.modeltypes import page, shapes
from tests.support.modeltypes.figures import CASES, CHUNK

TOKENS, DTYPE = CASES[page.SHOWN]


@pytest.mark.parametrize(("model_type", "real"), page.held().items())
def test_the_fallback_is_never_below_what_mlx_lm_takes(model_type: str, real: int) -> None:
    shape = kvcache.upper_bound({**shapes.config(model_type), "torch_dtype": DTYPE})
    assert shape is not None and shape.bytes(TOKENS, CHUNK) >= real
