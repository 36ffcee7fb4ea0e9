"""The project's Python files, read for what they import and how long they are."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTION)


@dataclass(frozen=True)
class Source:
    """One file; `name` is its path from the root of the project, with slashes."""

    name: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.name).read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def imports(self) -> set[str]:
        """Absolute dotted names of everything imported, anywhere in the file; `from a import b`
        gives a.b."""
        return {name for node in ast.walk(self.tree) for name in self._names(node)}

    def _names(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = self.name.removesuffix(".py").split("/")[: -node.level] if node.level else []
            base = ".".join([*package, *(node.module or "").split(".")]).strip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)

    def functions(self) -> Iterator[tuple[int, str]]:
        """Lines and place of every function."""
        for node in ast.walk(self.tree):
            if isinstance(node, FUNCTION):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1, f"{self.name}:{node.lineno} {node.name}"

    def classes(self) -> set[str]:
        return {node.name for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}

    def texts(self) -> Iterator[str]:
        """String constants other than docstrings, and attributes as owner.name."""
        prose = {id(node.body[0].value) for node in ast.walk(self.tree) if _has_docstring(node)}
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in prose
            ):
                yield node.value
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                yield f"{node.value.id}.{node.attr}"


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None


def tracked(*patterns: str) -> list[str]:
    """Files of the tree as git knows it, new ones that are not ignored included."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return sorted(name for name in set(listed) if (ROOT / name).is_file())


def sources(folder: str) -> list[Source]:
    return [Source(name) for name in tracked(f"{folder}/*.py")]
