"""What the prompt cache of a small model takes, as mlx-lm itself fills it on the CPU.

Runs as a program, under any interpreter with mlx-lm: a line of JSON on stdin, {"configs": {NAME:
config.json}, "cases": [[TOKENS, DTYPE]]}; a line of JSON per model on stdout, [NAME, [[PEAK, END]]]
with the sizes of each case in bytes, or [NAME, ERROR]."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import mlx.core as mx

# As in generate_step of mlx_lm/generate.py, and in the servers.
CHUNK = 2048
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


def held(model: Any, tokens: int) -> tuple[int, int]:
    """Bytes of the prompt cache: the most after any chunk of a prompt, and after its last token,
    which is processed alone."""
    caches, done, peak = make_prompt_cache(model), 0, 0
    while done < tokens:
        count = min(CHUNK, tokens - 1 - done) or 1
        model(mx.zeros((1, count), dtype=mx.int32), cache=caches)
        mx.eval([cache.state for cache in caches])
        done += count
        peak = max(peak, size(caches))
    return peak, size(caches)


def size(caches: list[Any]) -> int:
    return sum(int(cache.nbytes) for cache in caches)


def outcome(config: dict[str, Any], cases: list[tuple[int, str]]) -> list[tuple[int, int]] | str:
    """The sizes of each case, or why there are none."""
    try:
        models = {dtype: small_model(config, dtype) for dtype in {dtype for _, dtype in cases}}
        return [held(models[dtype], tokens) for tokens, dtype in cases]
    # mlx-lm's module of OLMo 1 exits if a package is missing.
    except (Exception, SystemExit) as exc:
        return f"{type(exc).__name__}: {exc}"


def main() -> None:
    request = json.loads(sys.stdin.readline())
    records = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name, config in request["configs"].items():
        print(json.dumps([name, outcome(config, request["cases"])]), file=records, flush=True)


if __name__ == "__main__":
    main()
