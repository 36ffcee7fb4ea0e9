"""Models on the Hub."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .format import cell, file_size
from .style import Style
from .table import Column, Listing, table

COLUMNS = (
    Column(name="REPO", text=lambda m, _: cell(m["repo_id"]), keep=True, shorten=20),
    Column(
        name="SIZE",
        text=lambda m, _: file_size(m.get("size_bytes")),
        key=lambda m: m.get("size_bytes"),
        right=True,
        largest=True,
    ),
    Column(
        name="DOWNLOADS",
        text=lambda m, _: cell(m.get("downloads")),
        key=lambda m: m.get("downloads"),
        right=True,
        largest=True,
    ),
)
LISTING = Listing("models", COLUMNS, itemgetter("repo_id"))


def model_table(result: dict[str, Any], style: Style) -> str:
    models = result["models"]
    return table(COLUMNS, models, style) if models else "No MLX models found."
