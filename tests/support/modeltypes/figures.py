"""Both figures of a model's prompt cache: what mlx-lm fills, and what the loader's child says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlxops.agent.loader import process
from mlxops.agent.loader.description import Description, description_of

HERE = Path(__file__).parent
# Shorter than the servers' 2048, so that a short context fills and leaves the windows.
CHUNK = 512
Case = tuple[int, str]
CASES: tuple[Case, ...] = ((300, "float32"), (1024, "float32"), (1536, "bfloat16"))


class Filled(NamedTuple):
    """What mlx-lm's caches took in each case, and the classes of the caches; or why it cannot be
    run."""

    sizes: tuple[int, ...]
    kinds: Mapping[str, int]
    error: str


class Asked(NamedTuple):
    """What the child said. The seconds of CPU time of its process so far, with all imports, and the
    most memory that it took, in bytes."""

    description: Description
    seconds: float
    peak: int


def fill(
    configs: Mapping[str, Mapping[str, Any]],
    cases: Sequence[Case] = CASES,
    python: str = sys.executable,
) -> dict[str, Filled]:
    """What the caches of small models with these configs take, run by one or two processes."""
    request = {"cases": cases, "chunk": CHUNK}
    return {
        name: Filled(tuple(said.get("sizes", ())), said.get("kinds", {}), said.get("error", ""))
        for name, said in _run(python, "filled.py", configs, request)
    }


def ask(
    configs: Mapping[str, Mapping[str, Any]], dtype: str, python: str = sys.executable
) -> dict[str, Asked]:
    """What the child says of models with these configs and weights of this type."""
    modules = [Path(part).stem for part in process.PARTS]
    texts = [text.decode() for text in process.child_text()]
    request = {"parts": dict(zip(modules, texts, strict=True))}
    typed = {name: {**config, "torch_dtype": dtype} for name, config in configs.items()}
    return {
        name: Asked(
            description_of({"program": "mlx-lm", **said["record"]}),
            said["seconds"],
            said["peak"] << 10,
        )
        for name, said in _run(python, "asked.py", typed, request)
    }


def _run(
    python: str, program: str, configs: Mapping[str, Any], request: Mapping[str, Any]
) -> Iterable[tuple[str, dict[str, Any]]]:
    """The records of this program, run twice at once, each time with half of the models."""
    names = list(configs)
    running = []
    for part in filter(None, (names[::2], names[1::2])):
        given = {**request, "configs": {name: configs[name] for name in part}}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        job = subprocess.Popen([python, "-I", HERE / program], text=True, **pipes)  # type: ignore[call-overload]
        job.stdin.write(json.dumps(given) + "\n")
        job.stdin.close()
        running.append(job)
    for job in running:
        with job:
            yield from (json.loads(line) for line in job.stdout)
        assert job.returncode == 0, f"{program} ended with status {job.returncode}"
