"""What the loader's child says of many models, in one process.

Runs as a program, under any interpreter with mlx-lm: a line of JSON on stdin, {"parts": {MODULE:
its text}, "configs": {NAME: config.json}}, the main module last; a line of JSON per model on
stdout, [NAME, {"record": …, "seconds": …, "peak": …}]. The last two are of the process so far: its
CPU time, and its most memory in KiB."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any


class Recorder:
    """Stands for the child's wire."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}

    def emit(self, **record: Any) -> None:
        self.record.update(record)


def child_of(parts: dict[str, str]) -> Any:
    """The main module of the child, not run."""
    for name, text in parts.items():
        module = sys.modules[name] = type(sys)(name)
        exec(compile(text, name, "exec"), module.__dict__)
    return module


def record(child: Any, config: dict[str, Any]) -> dict[str, Any]:
    recorder = Recorder()
    request = {"config": json.dumps(config), "remote_code": False}
    model = child.describe_model(request, recorder)
    if model is not None:
        child.describe_cache(model, recorder)
    return recorder.record


def main() -> None:
    request = json.loads(sys.stdin.readline())
    records = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    child = child_of(request["parts"])
    child.cache.keep_lazy(mx)
    for name, config in request["configs"].items():
        found = record(child, config)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        said = {"record": found, "seconds": time.process_time(), "peak": peak}
        print(json.dumps([name, said]), file=records, flush=True)


if __name__ == "__main__":
    main()
