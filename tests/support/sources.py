"""The files of the project, and what its Python files import and define."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTION)


@dataclass(frozen=True)
class Source:
    """One Python file; `name` is its path from the root of the project, with slashes."""

    name: str
    text: str

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def module(self) -> str:
        """Its dotted module name."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def tree_3_9(self) -> ast.Module:
        """The syntax tree; SyntaxError if Python 3.9 cannot read the file."""
        return ast.parse(self.text, self.name, feature_version=(3, 9))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def imports(self) -> frozenset[str]:
        """Absolute dotted names of every import in the file, including those under TYPE_CHECKING
        and in functions; `from a import b` gives a.b."""
        return frozenset(name for node in self.nodes for name in self._names(node))

    def _names(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = self.name.removesuffix(".py").split("/")[: -node.level] if node.level else []
            base = ".".join([*package, *(node.module or "").split(".")]).strip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)

    @cached_property
    def functions(self) -> list[tuple[int, str]]:
        """Length in lines and place of every function."""
        return [
            ((node.end_lineno or 0) - node.lineno + 1, f"{self.name}:{node.lineno} {node.name}")
            for node in self.nodes
            if isinstance(node, FUNCTION)
        ]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]

    @cached_property
    def calls(self) -> list[tuple[str, ast.Call]]:
        """Every call, with the last part of the name that it calls."""
        calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        return [(ast.unparse(node.func).rpartition(".")[2], node) for node in calls]

    @cached_property
    def assigned(self) -> list[ast.Name]:
        """The names that the file assigns."""
        names = [node for node in self.nodes if isinstance(node, ast.Name)]
        return [node for node in names if isinstance(node.ctx, ast.Store)]

    @cached_property
    def identifiers(self) -> set[str]:
        """The names that are used, given or defined in the file, those of modules apart."""
        names = (
            getattr(node, field, None)
            for node in self.nodes
            if not isinstance(node, ast.alias)
            for field in ("id", "attr", "arg", "name")
        )
        return {name for name in names if isinstance(name, str)}

    @cached_property
    def texts(self) -> list[str]:
        """String constants other than docstrings, and attributes as owner.name."""
        return [*self._texts()]

    def _texts(self) -> Iterator[str]:
        prose = {id(node.body[0].value) for node in self.nodes if _has_docstring(node)}
        for node in self.nodes:
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


# Trees share the sources they have in common, so that each text is parsed once.
_source = functools.cache(Source)


@dataclass(frozen=True)
class Tree:
    """The text of every file by path; `root` is the folder on disk, for rules that run code."""

    root: Path
    files: Mapping[str, str] = field(repr=False)

    def sources(self, folder: str) -> list[Source]:
        return [
            _source(name, text)
            for name, text in self.files.items()
            if name.startswith(f"{folder}/") and name.endswith(".py")
        ]

    @property
    def package(self) -> list[Source]:
        return self.sources("mlxops")

    @property
    def agent(self) -> list[Source]:
        return self.sources("mlxops/agent")

    @property
    def client(self) -> list[Source]:
        return [source for source in self.package if not source.name.startswith("mlxops/agent/")]

    def changed(self, changes: Mapping[str, str]) -> Tree:
        """A copy of the tree with different texts for some files; the disk is not touched."""
        return replace(self, files=dict(sorted({**self.files, **changes}.items())))


def read_tree() -> Tree:
    """The files known to git, including new files that are not ignored."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = sorted(name for name in set(listed.splitlines()) if (ROOT / name).is_file())
    return Tree(ROOT, {name: (ROOT / name).read_text("utf-8", "replace") for name in names})
