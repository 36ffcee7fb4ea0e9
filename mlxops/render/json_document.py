"""The one JSON document of --json."""

from __future__ import annotations

import json
from typing import Any

from ..agent.errors import MlxopsError

SCHEMA = 1


def document(host: str | None, command: str | None, result: Any, error: MlxopsError | None) -> str:
    """The envelope: ASCII, indented. `ok` is true if there is no error; an error may come with a
    result."""
    envelope = {
        "schema": SCHEMA,
        "host": host,
        "command": command,
        "ok": error is None,
        "result": result,
        "error": error and error.to_wire(),
    }
    return json.dumps(envelope, indent=2, default=str)
