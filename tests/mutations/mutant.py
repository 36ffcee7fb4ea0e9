"""One safeguard taken out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old`, which stands in the file just once, becomes `new`; at least one of `tests` must fail
    then.

    `file` is below mlxops/."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
