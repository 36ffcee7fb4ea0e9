"""Models on the Hub."""

from __future__ import annotations

from typing import Any

from .format import cell, file_size
from .style import Style
from .table import table


def model_table(result: dict[str, Any], style: Style) -> str:
    rows = [
        [cell(m["repo_id"]), file_size(m.get("size_bytes")), cell(m.get("downloads"))]
        for m in result["models"]
    ]
    return table(("REPO", "SIZE>", "DOWNLOADS>"), rows) if rows else "No MLX models found."
