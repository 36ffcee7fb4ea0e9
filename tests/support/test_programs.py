"""Programs in strings of the tests import names that exist: no tool renames them."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from tests.support.sources import ROOT, Source, read_tree

IMPORT = re.compile(r"^\s*from ((?:mlxops\.)?agent[\w.]*) import ([\w, ]+)$", re.M)


def imported(source: Source) -> set[tuple[str, str]]:
    """Module and name of every import from the agent in a string; modules made up for a test are
    left out."""
    texts = [node.value for node in source.nodes if isinstance(node, ast.Constant)]
    found = {
        (module.removeprefix("mlxops."), name.split(" as ")[0].strip())
        for text in texts
        if isinstance(text, str)
        for module, names in IMPORT.findall(text)
        for name in names.split(",")
    }
    return {(module, name) for module, name in found if is_module(module)}


def is_module(name: str) -> bool:
    path = ROOT.joinpath("mlxops", *name.split("."))
    return path.with_suffix(".py").is_file() or (path.is_dir() and name != "agent")


PROGRAMS = {
    source.name: imported(source) for source in read_tree().sources("tests") if imported(source)
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_names_it_imports_exist(name: str) -> None:
    for module, attribute in PROGRAMS[name]:
        owner = importlib.import_module(f"mlxops.{module}")
        assert hasattr(owner, attribute) or is_module(f"{module}.{attribute}"), attribute
