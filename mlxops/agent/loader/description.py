"""What the loader of a runtime says of one model. Values only."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

# Tokens of a prompt that the servers process at a time.
CHUNK = 2048
# Tokens by which most caches grow.
STEP = 256


class CacheLayer(NamedTuple):
    """`copies` equal caches: bytes per token, the step in which it grows, the tokens it keeps when
    a further chunk comes (None: all), and bytes that do not depend on the context. `quantizes`:
    --kv-bits would quantize it."""

    token_bytes: int
    step: int = 1
    window: Optional[int] = None
    fixed_bytes: int = 0
    copies: int = 1
    quantizes: bool = False

    def bytes(self, tokens: int, chunk: int = CHUNK) -> int:
        rows = -(-tokens // self.step) * self.step
        if self.window is not None:
            rows = min(rows, self.window + chunk)
        return self.copies * (rows * self.token_bytes + self.fixed_bytes)


class CacheShape(NamedTuple):
    """The prompt cache of a model, as the loader made it.

    `points`: (tokens, bytes) as measured, ascending, of the caches that are none of `layers`."""

    layers: Tuple[CacheLayer, ...] = ()
    points: Tuple[Tuple[int, int], ...] = ()

    def bytes(self, tokens: int, chunk: int = CHUNK) -> int:
        """The most that the cache takes while a context of that many tokens is processed in
        chunks."""
        return sum(layer.bytes(tokens, chunk) for layer in self.layers) + self._measured(tokens)

    def _measured(self, tokens: int) -> int:
        """Between two points, on the line between them."""
        if not self.points:
            return 0
        tokens = -(-tokens // STEP) * STEP
        for (a, x), (b, y) in zip(((0, self.points[0][1]), *self.points), self.points):
            if tokens <= b:
                return x - (x - y) * (tokens - a) // (b - a)
        return self._beyond(tokens)

    def _beyond(self, tokens: int) -> int:
        """Beyond the last point: as steep as the steepest part."""
        pairs = list(zip(((0, 0), *self.points), self.points))
        rises = [((y - x) // max(1, b - a)) + 1 for (a, x), (b, y) in pairs[1:] if y > x]
        last, size = self.points[-1]
        return size + max(rises, default=0) * (tokens - last)


class Description(NamedTuple):
    """What a loader says of a model. "" and () stand for nothing to say; None for unknown.

    `program`: the loader and its version. `refusal`: why it cannot build the model from its config.
    `reads`: names of the files that it opens; of a repository, those that it would download.
    `faults`: why it cannot load the weights, by file; under "" if that names none. `template`:
    where its tokenizer found the chat template, "" if it has none; `template_error`: why a test
    conversation cannot be rendered. `remote_code`: why --trust-remote-code would be needed, "" if
    it is not. `failure`: why the answer is not complete, such as that it took too long."""

    program: str
    refusal: str = ""
    cache: Optional[CacheShape] = None
    reads: Tuple[str, ...] = ()
    faults: Mapping[str, str] = {}
    tokenizer_error: str = ""
    template: Optional[str] = None
    template_error: str = ""
    remote_code: Optional[str] = None
    failure: str = ""


def description_of(record: Mapping[str, Any]) -> Description:
    """The description in a record of the child; anything of another type counts as unknown."""
    texts = ("refusal", "tokenizer_error", "template_error", "failure")
    faults = record.get("faults")
    fields: Dict[str, Any] = {name: _text(record.get(name)) for name in texts}
    fields.update((n, _text(record[n])) for n in ("template", "remote_code") if n in record)
    return Description(
        program=_text(record.get("program")),
        cache=_cache_of(record.get("cache")),
        faults={_text(k): _text(v) for k, v in faults.items()} if isinstance(faults, dict) else {},
        reads=_texts(record.get("reads")),
        **fields,
    )


def _text(value: object) -> str:
    return value[:1000] if isinstance(value, str) else ""


def _texts(value: object) -> Tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else ()


def _cache_of(value: object) -> Optional[CacheShape]:
    if not isinstance(value, dict):
        return None
    layers, points = value.get("layers") or [], value.get("points") or []
    try:
        shape = CacheShape(
            tuple(CacheLayer(*layer) for layer in layers),
            tuple((tokens, size) for tokens, size in points),
        )
        numbers = [n for row in (*shape.layers, *shape.points) for n in row if n is not None]
    except (TypeError, ValueError):
        return None
    sound = numbers and all(isinstance(n, int) and n >= 0 for n in numbers)
    return shape if sound and all(layer.step > 0 for layer in shape.layers) else None
