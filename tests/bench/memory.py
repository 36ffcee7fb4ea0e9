"""What servers take against what was estimated: models of several families, made here, with a
prompt of known length.

python -m tests.bench.memory [--tokens N] [--family F]... [--openai-server ENVIRONMENT]

Per server the most that its processes ever held (VmHWM, Linux), which counts what they share twice,
and the estimate."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlxops.agent.loader.description import Description, description_of
from mlxops.agent.loader.process import ask_child
from mlxops.agent.loader.source import Folder
from mlxops.agent.memory import estimate
from mlxops.agent.memory.kvcache import count_cache
from mlxops.agent.models import cache as hfcache
from mlxops.agent.models import files as modelfiles
from mlxops.agent.procs import local_procs, tree
from tests.support.ports import free_range
from tests.support.sizedmodel import FAMILIES, write_sized

CHAT = "/v1/chat/completions"
MIB = 1 << 20
LONGEST_S = 1800.0


def command(runtime: str, folder: Path, model: Path, port: int) -> list[str]:
    program = str(folder / "bin" / runtime)
    if runtime == "mlx_lm.server":
        return [program, "--model", str(model), "--port", str(port)]
    return [
        program,
        "launch",
        "--model-type",
        "lm",
        "--no-log-file",
        "--model-path",
        str(model),
        "--port",
        str(port),
    ]


@contextmanager
def serving(argv: list[str], port: int) -> Iterator[int]:
    """The pid of a server that has answered once."""
    quiet = subprocess.DEVNULL
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryDirectory() as cwd,
        subprocess.Popen(argv, stdout=quiet, stderr=quiet, env=env, cwd=cwd) as server,
    ):
        try:
            end = time.monotonic() + LONGEST_S
            while not chat(port, "hi"):
                assert time.monotonic() < end and server.poll() is None, argv
                time.sleep(0.1)
            yield server.pid
        finally:
            server.terminate()


def chat(port: int, text: str, max_tokens: int = 1) -> int:
    """Tokens of the prompt, as the server counted them; 0 while it does not answer."""
    body = json.dumps(
        {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}
    ).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{CHAT}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:
            return int(json.load(answer)["usage"]["prompt_tokens"])
    except urllib.error.HTTPError as refused:
        raise AssertionError(refused.read()) from refused
    except OSError:
        return 0


def most_held(pid: int) -> int:
    """Bytes at the highest moment of each process of the server, added up."""
    return sum(high_water(process.pid) for process in tree(local_procs().processes(), pid))


def high_water(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measured(runtime: str, folder: Path, model: Path, tokens: int) -> tuple[int, int]:
    """Tokens of the prompt and bytes held."""
    port = free_range(1)[0]
    with serving(command(runtime, folder, model, port), port) as pid:
        counted = chat(port, "x" * tokens, max_tokens=4)
        return counted, most_held(pid)


def described(model: Path) -> Description | None:
    """What the mlx-lm beside this Python says of a model."""
    idle = SimpleNamespace(check=lambda: None)
    site: Any = SimpleNamespace(server_env={})
    ctx: Any = SimpleNamespace(client=idle, procs=local_procs(), report=print, site=site)
    answer = ask_child(ctx, [sys.executable], Folder(str(model)).request())
    return description_of(answer.fields) if answer else None


def estimated(runtime: str, model: Path, tokens: int) -> estimate.Estimate:
    weights = hfcache.weights_bytes(str(model))
    assert weights is not None
    config = modelfiles.config(str(model))
    cache = count_cache(config, described(model))
    return estimate.estimate(
        estimate.Model(weights, config, runtime, fused=False, cache=cache), tokens
    )


def row(family: str, runtime: str, folder: Path, model: Path, tokens: int) -> str:
    counted, held = measured(runtime, folder, model, tokens)
    sums = estimated(runtime, model, counted)
    figures = [sums.weights_bytes, sums.kv_bytes or 0, sums.overhead_bytes, sums.need_bytes, held]
    error = 100 * (sums.need_bytes / held - 1)
    return " | ".join(
        [
            f"| {family}",
            runtime,
            str(counted),
            *(f"{f / MIB:.0f}" for f in figures),
            f"{error:+.0f} % |",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, nargs="*", default=[500, 8000])
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--openai-server", type=Path, metavar="ENVIRONMENT")
    asked = parser.parse_args()
    servers = {"mlx_lm.server": Path(sys.executable).parent.parent}
    if asked.openai_server:
        servers["mlx-openai-server"] = asked.openai_server
    print(
        "| family | runtime | tokens | weights | KV | overhead | estimate | measured | estimate "
        "is |\n|" + "---|" * 9
    )
    with tempfile.TemporaryDirectory() as work:
        for family in asked.family or FAMILIES:
            model = write_sized(Path(work, family), family)
            for runtime, folder in servers.items():
                for tokens in asked.tokens:
                    print(row(family, runtime, folder, model, tokens), flush=True)


if __name__ == "__main__":
    main()
