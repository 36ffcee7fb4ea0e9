"""What the prompt cache of a small model takes, as mlx-lm itself fills it on the CPU.

Runs as a program, under any interpreter with mlx-lm: a line of JSON on stdin, {"configs": {NAME:
config.json}, "cases": [[TOKENS, DTYPE]], "chunk": TOKENS}; a line of JSON per model on stdout,
[NAME, {"sizes": [BYTES of each case], "kinds": {CLASS: its number}}] or [NAME, {"error": TEXT}]."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import Any

import mlx.core as mx

_GATHER = mx.gather_mm


def _kernel(*_: Any, **__: Any) -> Any:
    """A stand-in for a Metal kernel: zeros of the shapes that it would return."""

    def call(*_: Any, output_shapes: Any, output_dtypes: Any, **__: Any) -> list[Any]:
        return [
            mx.zeros(shape, dtype)
            for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
        ]

    return call


def _gather(a: Any, b: Any, *args: Any, **options: Any) -> Any:
    """The product of the experts, which the CPU has for float32 only."""
    product = _GATHER(a.astype(mx.float32), b.astype(mx.float32), *args, **options)
    return product.astype(a.dtype)


# Before mlx-lm is imported: it makes its kernels then.
mx.fast.metal_kernel, mx.gather_mm = _kernel, _gather

from mlx_lm.models.cache import make_prompt_cache  # noqa: E402
from mlx_lm.utils import _get_classes  # noqa: E402


def small_model(config: dict[str, Any], dtype: str) -> Any:
    """The model with small random weights of that type."""
    # Some classes write into their configuration.
    own = json.loads(json.dumps(config))
    model_class, args_class = _get_classes(own)
    model = model_class(args_class.from_dict(own))
    model.set_dtype(getattr(mx, dtype))
    model.eval()
    mx.eval(model.parameters())
    return model


def filled(model: Any, tokens: int, chunk: int) -> tuple[int, list[Any]]:
    """The most bytes that the prompt cache takes after any chunk of so many tokens, and the cache.

    As in generate_step of mlx_lm/generate.py, which then processes one more token alone."""
    caches, peak = make_prompt_cache(model), 0
    for done in range(0, tokens, chunk):
        count = min(chunk, tokens - done)
        model(mx.zeros((1, count), dtype=mx.int32), cache=caches)
        mx.eval([cache.state for cache in caches])
        peak = max(peak, sum(int(cache.nbytes) for cache in caches))
    return peak, caches


def classes(caches: Any) -> list[str]:
    """The class of every cache, of nested ones too."""
    parts = [getattr(cache, "caches", None) or [cache] for cache in caches]
    return [type(cache).__name__ for part in parts for cache in part]


def outcome(config: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    cases: list[tuple[int, str]] = request["cases"]
    try:
        models = {dtype: small_model(config, dtype) for dtype in {dtype for _, dtype in cases}}
        found = [filled(models[dtype], tokens, request["chunk"]) for tokens, dtype in cases]
    # mlx-lm's module of OLMo 1 exits if a package is missing.
    except (Exception, SystemExit) as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}
    return {"sizes": [size for size, _ in found], "kinds": Counter(classes(found[0][1]))}


def main() -> None:
    request = json.loads(sys.stdin.readline())
    records = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name, config in request["configs"].items():
        print(json.dumps([name, outcome(config, request)]), file=records, flush=True)


if __name__ == "__main__":
    main()
