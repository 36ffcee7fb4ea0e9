"""The child process that asks mlx-lm about one model, under the runtime's interpreter.

stdin: one JSON request line, then nothing; end of file ends this process at once. stdout: JSON
lines: {"stage": NAME} before each stage, then fields of the description; {"end": true} last. No
weights are read and no array is evaluated. Run as text, never as a script."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

CHUNK, STEP, ODD = 2048, 256, 300
# Tokens in the cache after each chunk of a prompt, the last of which checks the shape.
AT = (CHUNK, 2 * CHUNK, 3 * CHUNK, 3 * CHUNK + 904)
# The faults of a config; a lack of MLX or of the machine raises other errors.
REFUSALS = (
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    IndexError,
    ZeroDivisionError,
    RecursionError,
)
Record = Dict[str, Any]


class Wire:
    """The original stdout of this process, for records only. Everything else prints to stderr."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="ascii")
        os.dup2(2, 1)

    def emit(self, **record: Any) -> None:
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()


def exit_with_parent() -> None:
    try:
        sys.stdin.buffer.read()
    finally:
        os._exit(3)


def limit(request: Record) -> None:
    """Bounds that hold without the parent, and where a library keeps the interpreter busy."""
    os.nice(10)
    signal.alarm(int(request["alarm_s"]))
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: request["file_bytes"],
        resource.RLIMIT_AS: request["address_bytes"],
    }
    for which, most in bounds.items():
        hard = resource.getrlimit(which)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            try:
                resource.setrlimit(which, (most, most))
            except (OSError, ValueError):
                continue


def cause(exc: BaseException) -> str:
    text = " ".join(str(exc).split())[:400]
    return text if type(exc) is ValueError and text else "%s: %s" % (type(exc).__name__, text)


class Evaluated(Exception):
    """A model asked for the value of an array that has none."""


def keep_lazy(mx: Any) -> None:
    """Evaluate nothing: an array would take its memory, of a size that the config chooses."""

    def refuse(*_: object) -> None:
        raise Evaluated

    mx.eval = mx.async_eval = lambda *_: None
    for name in ("item", "tolist", "__bool__", "__int__", "__float__", "__index__"):
        if hasattr(mx.array, name):
            setattr(mx.array, name, refuse)


def build(config: Record) -> Any:
    from mlx_lm.utils import _get_classes

    classes = _get_classes(config=config)
    return classes[0](classes[1].from_dict(config))


def set_dtype(model: Any, config: Record) -> None:
    """Give the lazy parameters the type that the weights have: they begin as float32."""
    import mlx.core as mx

    inner = [config.get(k) for k in ("text_config", "llm_config", "language_config")]
    texts = [config, *(part for part in inner if isinstance(part, dict))]
    words = [part.get(key) for part in texts for key in ("torch_dtype", "dtype")]
    known = [w for w in words if w in ("float32", "float16", "bfloat16")]
    model.set_dtype(getattr(mx, known[0] if known else "bfloat16"))


def leaves(cache: Any) -> Iterator[Any]:
    parts = cache if isinstance(cache, (list, tuple)) else getattr(cache, "caches", None)
    if isinstance(parts, (list, tuple)):
        for part in parts:
            yield from leaves(part)
    elif cache is not None:
        yield cache


def nbytes(cache: Any) -> int:
    size = getattr(cache, "nbytes", None)
    return size if isinstance(size, int) else 0


Sizes = List[Tuple[int, ...]]


def measure(model: Any, ends: Sequence[int]) -> Tuple[List[Any], Sizes]:
    """The caches of the model, and the most bytes of each up to each of these numbers of
    tokens."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    rows: List[List[int]] = []
    for begin, end in zip((0, *ends), ends):
        model(mx.zeros((1, end - begin), dtype=mx.int32), cache=cache)
        rows.append([nbytes(leaf) for leaf in leaves(cache)])
    peaks = [[max(column[: n + 1]) for n in range(len(column))] for column in zip(*rows)]
    return list(leaves(cache)), [tuple(p) for p in peaks]


def window_of(cache: Any) -> Optional[int]:
    """The tokens that a cache keeps when the next chunk comes, if it says so itself."""
    sizes = ((getattr(cache, "max_size", None), 1), (getattr(cache, "chunk_size", None), 0))
    return next((size - less for size, less in sizes if type(size) is int and size > 0), None)


def layer_of(cache: Any, odd: int, peaks: Sequence[int]) -> Optional[Tuple[Any, ...]]:
    """(token_bytes, step, window, fixed_bytes) that give exactly these sizes; None if none do."""
    if odd == peaks[0] == peaks[-1]:
        return (0, 1, None, odd)
    for step in (STEP, 1):
        first = -(-ODD // step) * step
        each, rest = divmod(peaks[0] - odd, CHUNK - first)
        fixed = odd - each * first
        if rest or each <= 0 or fixed < 0:
            continue
        kept = (peaks[-1] - fixed) // each - CHUNK
        for window in (None, window_of(cache), kept):
            shape = (each, step, window, fixed)
            if all(size(shape, n) == p for n, p in zip((ODD, *AT), (odd, *peaks))):
                # A window beyond the measured tokens is known from the cache alone.
                return (each, step, window or window_of(cache), fixed)
    return None


def size(shape: Tuple[Any, ...], tokens: int) -> int:
    each, step, window, fixed = shape
    rows = -(-tokens // step) * step
    return int((rows if window is None else min(rows, window + CHUNK)) * each + fixed)


def cache_of(model: Any) -> Record:
    """The shape of the model's prompt cache: groups of equal layers, else points."""
    _, odd = measure(model, (ODD,))
    caches, sizes = measure(model, AT)
    found = [layer_of(c, o[0], s) for c, o, s in zip(caches, odd, sizes)]
    layers = [shape for shape in found if shape]
    if len(layers) != len(sizes) or len(odd) != len(sizes):
        sums = [sum(row[n] for row in sizes) for n in range(len(AT))]
        return {"points": [(ODD, sum(row[0] for row in odd)), *zip(AT, sums)]}
    return {"layers": [(*shape, layers.count(shape)) for shape in dict.fromkeys(layers)]}


def describe_model(request: Record, wire: Wire) -> None:
    config = json.loads(request["config"])
    try:
        model = build(config)
    except REFUSALS as exc:
        return wire.emit(refusal=cause(exc))
    set_dtype(model, config)
    wire.emit(stage="cache")
    try:
        wire.emit(cache=cache_of(model))
    except Exception as exc:
        print("no cache: " + cause(exc), file=sys.stderr)


def describe(request: Record, wire: Wire) -> None:
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    from importlib.metadata import version

    wire.emit(program="mlx-lm " + version("mlx-lm"))
    keep_lazy(mx)
    wire.emit(stage="model")
    describe_model(request, wire)


def main() -> None:
    wire = Wire()
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=exit_with_parent, daemon=True).start()
    limit(request)
    describe(request, wire)
    wire.emit(end=True)
    os._exit(0)


if __name__ == "__main__":
    main()
