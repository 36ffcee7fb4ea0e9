"""The rooms of the package, circles among its modules, and the oldest Python the agent runs on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.sources import Source


def module_of(name: str) -> str:
    """A file's path as the dotted name of its module."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(source: Source) -> str:
    """The folder below agent/ that holds a file; of a file directly under agent/, its own name."""
    return source.name.removesuffix(".py").split("/")[2]


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Every group of modules that import each other, over however many others (Tarjan's
    algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(edges.get(module, ())):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(edges):
        if module not in index:
            visit(module)
    return found


def python39() -> str | None:
    """One that runs: pyenv's shims also exist for versions they do not start."""
    kept = sorted(map(str, Path.home().glob(".pyenv/versions/3.9*/bin/python3.9")))
    return next((found for found in [*kept, shutil.which("python3.9")] if found), None)
