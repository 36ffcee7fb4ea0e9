"""Part of the child process: the shape of a model's prompt cache, measured without a value."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

STEP = 256
Sizes = List[Tuple[int, ...]]
# (token_bytes, step, window, fixed_bytes), as CacheLayer has them.
Shape = Tuple[int, int, Optional[int], int]


class Probe(NamedTuple):
    """The prompt lengths that are tried: `odd` alone, then chunks that end at `ends`."""

    odd: int
    ends: Tuple[int, ...]

    @property
    def chunk(self) -> int:
        return self.ends[0]


LONG = Probe(300, (2048, 4096, 6144, 7048))
# For models that are slow to trace: some build their graph token by token.
SHORT = Probe(20, (280, 560, 600))
MAX_CPU_S = 4.0
MAX_VALUES = 1 << 16


class Evaluated(Exception):
    """A model asked for the value of an array that has none."""


def keep_lazy(mx: Any) -> None:
    """Evaluate nothing: an array would take its memory, of a size that the config chooses. Models
    take the path that they take on the GPU, and find kernels that compute nothing."""

    def refuse(*_: object) -> None:
        raise Evaluated

    def zeros(shape: Sequence[int]) -> Any:
        return [zeros(shape[1:]) for _ in range(shape[0])] if shape else 0

    def tolist(array: Any) -> Any:
        # Which expert a token goes to: the first one.
        return zeros(array.shape) if array.size <= MAX_VALUES else refuse()

    def kernel(*_: object, **__: object) -> Any:
        return lambda *_, output_shapes, output_dtypes, **__: [
            mx.zeros(shape, dtype) for shape, dtype in zip(output_shapes, output_dtypes)
        ]

    mx.eval = mx.async_eval = lambda *_: None
    mx.array.tolist = tolist
    for name in ("item", "__bool__", "__int__", "__float__", "__index__"):
        if hasattr(mx.array, name):
            setattr(mx.array, name, refuse)
    mx.default_device = lambda: mx.gpu
    mx.metal.is_available = lambda: True
    mx.fast.metal_kernel = kernel


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


def measure(model: Any, make: Any, ends: Sequence[int]) -> Tuple[List[Any], Sizes]:
    """The top level of the model's cache, and for each leaf the most bytes up to each of these
    numbers of tokens."""
    import mlx.core as mx

    cache = make(model)
    rows: List[List[int]] = []
    for begin, end in zip((0, *ends), ends):
        model(mx.zeros((1, end - begin), dtype=mx.int32), cache=cache)
        rows.append([nbytes(leaf) for leaf in leaves(cache)])
    peaks = [tuple(max(column[: n + 1]) for n in range(len(column))) for column in zip(*rows)]
    return list(cache), peaks


def window_of(cache: Any) -> Optional[int]:
    """The window of a cache in tokens, before the next chunk is added; None if it has no limit."""
    sizes = ((getattr(cache, "max_size", None), 1), (getattr(cache, "chunk_size", None), 0))
    return next((size - less for size, less in sizes if type(size) is int and size > 0), None)


def size(shape: Shape, tokens: int, chunk: int) -> int:
    each, step, window, fixed = shape
    rows = -(-tokens // step) * step
    return (rows if window is None else min(rows, window + chunk)) * each + fixed


def shape_of(cache: Any, odd: int, peaks: Sequence[int], probe: Probe) -> Optional[Shape]:
    """The shape that gives exactly these sizes; None if none does."""
    if odd == peaks[0] == peaks[-1]:
        return (0, 1, None, odd)
    wanted = [(probe.odd, odd), *zip(probe.ends, peaks)]
    for step in (STEP, 1):
        first, then = (-(-n // step) * step for n in (probe.odd, probe.chunk))
        each, rest = divmod(peaks[0] - odd, then - first)
        fixed = odd - each * first
        if rest or each <= 0 or fixed < 0:
            continue
        kept = (peaks[-1] - fixed) // each - probe.chunk
        for window in (window_of(cache), None, kept):
            shape = (each, step, window, fixed)
            if all(size(shape, n, probe.chunk) == p for n, p in wanted):
                return shape
    return None


def quantizes(cache: Any) -> bool:
    """Whether --kv-bits would quantize it."""
    try:
        return bool(cache.to_quantized())
    except Exception:
        return False


def choose_probe(model: Any, make: Any) -> Probe:
    """SHORT if the time for a chunk grows with its tokens."""
    begin = time.process_time()
    measure(model, make, (SHORT.odd,))
    middle = time.process_time()
    measure(model, make, (SHORT.chunk,))
    more = (time.process_time() - middle) - (middle - begin)
    slow = more / (SHORT.chunk - SHORT.odd) * (LONG.odd + LONG.ends[-1]) > MAX_CPU_S
    return SHORT if slow else LONG


def cache_of(model: Any, make: Any) -> Dict[str, Any]:
    """The shape of the model's prompt cache: groups of equal layers, and the measured points of
    the others."""
    probe = choose_probe(model, make)
    _, odd = measure(model, make, (probe.odd,))
    top, sizes = measure(model, make, probe.ends)
    if len(odd) != len(sizes):
        raise ValueError("its cache has %d parts, then %d" % (len(odd), len(sizes)))
    layers: List[Tuple[Any, ...]] = []
    rest: List[Tuple[int, ...]] = []
    for leaf, first, peaks in zip(leaves(top), odd, sizes):
        shape = shape_of(leaf, first[0], peaks, probe)
        if shape:
            layers.append((*shape, any(leaf is c for c in top) and quantizes(leaf)))
        else:
            rest.append((first[0], *peaks))
    found = {"layers": [(*s[:4], layers.count(s), s[4]) for s in dict.fromkeys(layers)]}
    sums = [sum(column) for column in zip(*rest)]
    return {**found, "points": list(zip((probe.odd, *probe.ends), sums))}
