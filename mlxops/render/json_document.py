"""The one document of --json, -o json and -o yaml."""

from __future__ import annotations

import json
from typing import Any

from ..agent.errors import MlxopsError

SCHEMA = 1


def envelope(
    host: str | None, command: str | None, result: Any, error: MlxopsError | None
) -> dict[str, Any]:
    """The answer of one host. `ok` is true if there is no error; an error may come with a
    result."""
    return {
        "host": host,
        "command": command,
        "ok": error is None,
        "result": result,
        "error": error and error.to_wire(),
    }


def document(answer: dict[str, Any], *, yaml: bool = False) -> str:
    """An envelope as indented ASCII JSON, or as YAML."""
    text = json.dumps({"schema": SCHEMA, **answer}, indent=2, default=str)
    return _as_yaml(text) if yaml else text


def _as_yaml(text: str) -> str:
    """The YAML of a JSON document. Only escapes may stand for control characters."""
    import yaml

    # The C library is five times faster; the pure Python one is always there.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(json.loads(text), Dumper=dumper, sort_keys=False)).rstrip("\n")
