"""The mlx-openai-server to test with, if one was configured."""

from __future__ import annotations

import os
from pathlib import Path

OPENAI_SERVER = "MLXOPS_TEST_OPENAI_SERVER"


def openai_program() -> Path | None:
    folder = os.environ.get(OPENAI_SERVER)
    program = Path(folder, "bin", "mlx-openai-server") if folder else None
    return program if program and program.exists() else None
