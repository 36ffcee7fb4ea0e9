"""What `apply` adds to the servers' own starts, and what a second `apply` costs.

python -m tests.bench.apply [--rounds N] [--ports N]

In turn, on the same ports, with mlx_lm.server and a tiny model each:
  bare     start every server by hand, two at a time, each until a chat is answered
  apply    `mlxops apply` onto the same empty ports (--jobs 2)
  swapped  `mlxops apply` after the declared models of ports 1 and 2, 3 and 4, ... changed places
  again    `mlxops apply` with nothing to do, in turn with `mlxops status`
Whole processes on this machine, wall time, medians."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mlxops.agent.errors import Interrupted
from mlxops.demo.tinymodel import model_files, write_cache
from tests.bench.downtime import end
from tests.bench.load import SERVER, answers
from tests.support.ports import free_range

ROOT = Path(__file__).parents[2]
JOBS = 2
LOOKS = 7
HOST_FILE = """
transport = "local"
[studio]
hf_home = "{home}/hf"
ports = "{first}-{last}"
bind = "127.0.0.1"
state_dir = "{home}/state"
[runtime]
name = "mlx_lm.server"
command = ["{server}"]
env = {{HF_HUB_OFFLINE = "1"}}
"""
SLOT = '[slots.{port}]\nname = "slot-{port}"\nmodel = "{model}"\n'


class Bench:
    """A host with one tiny model per port."""

    def __init__(self, home: Path, count: int) -> None:
        self._home, self.ports = home, free_range(count)
        self.models = [f"bench/model{number}" for number in range(count)]
        self._argv: dict[str, list[str]] = {}
        for seed, name in enumerate(self.models):
            write_cache(home / "hf" / "hub", name, model_files([f" {name}"], seed=seed))
        (home / "hosts").mkdir()

    def declare(self, models: Sequence[str]) -> None:
        text = HOST_FILE.format(
            home=self._home, first=self.ports[0], last=self.ports[-1], server=SERVER
        )
        pairs = zip(self.ports, models, strict=True)
        slots = [SLOT.format(port=port, model=model) for port, model in pairs]
        (self._home / "hosts" / "bench.toml").write_text(text + "".join(slots))

    def prepare(self) -> None:
        """Apply once, for the command lines and for what is cached after a first load."""
        self.declare(self.models)
        self.mlxops("init")
        self.mlxops("apply")
        models = json.loads((self._home / "hf" / "hub" / "registry.json").read_text())["models"]
        self._argv = {entry["repo_id"]: entry["process"]["argv"] for entry in models.values()}
        self.empty()

    def bare(self) -> float:
        """Seconds to start every server by hand, two at a time."""
        began = time.monotonic()
        with ThreadPoolExecutor(JOBS) as pool:
            servers = list(pool.map(self._start, self.models, self.ports))
        took = time.monotonic() - began
        for server in servers:
            end(server)
        return took

    def _start(self, model: str, port: int) -> subprocess.Popen[bytes]:
        none = subprocess.DEVNULL
        server = subprocess.Popen(
            self._argv[model],
            cwd=self._home,
            stdin=none,
            stdout=none,
            stderr=none,
            start_new_session=True,
        )
        while not answers(port):
            time.sleep(0.01)
        return server

    def timed(self, *words: str) -> float:
        began = time.monotonic()
        self.mlxops(*words)
        return time.monotonic() - began

    def mlxops(self, *words: str) -> None:
        where = ["--hosts-dir", str(self._home / "hosts"), "-q"]
        run = [sys.executable, "-m", "mlxops", *where, *words]
        ended = subprocess.run(run, cwd=ROOT, stdout=subprocess.DEVNULL)
        if ended.returncode == Interrupted.exit_code:
            raise KeyboardInterrupt
        ended.check_returncode()

    def empty(self) -> None:
        self.mlxops("unload-all", "--yes")


def one_round(bench: Bench) -> dict[str, float]:
    """Seconds by name."""
    bench.declare(bench.models)
    seconds = {"bare": bench.bare(), "apply": bench.timed("apply")}
    looks = [(bench.timed("status"), bench.timed("apply")) for _ in range(LOOKS)]
    seconds["status"], seconds["again"] = (
        statistics.median(part) for part in zip(*looks, strict=True)
    )
    bench.declare(swapped(bench.models))
    seconds["swapped"] = bench.timed("apply")
    bench.empty()
    return seconds


def swapped(models: Sequence[str]) -> list[str]:
    """The models with neighbours exchanged."""
    pairs = [models[at : at + 2][::-1] for at in range(0, len(models), 2)]
    return [model for pair in pairs for model in pair]


def text(seconds: Mapping[str, float]) -> str:
    return "   ".join(f"{name} {value:.2f} s" for name, value in seconds.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ports", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench, rounds = Bench(Path(folder), asked.ports), []
        try:
            bench.prepare()
            for _ in range(asked.rounds):
                rounds.append(one_round(bench))
                print(text(rounds[-1]), flush=True)
        finally:
            with suppress(subprocess.CalledProcessError):
                bench.empty()
    tell({name: statistics.median(one[name] for one in rounds) for name in rounds[0]}, asked.ports)


def tell(middle: Mapping[str, float], count: int) -> None:
    apply, moved = (100 * (middle[name] / middle["bare"] - 1) for name in ("apply", "swapped"))
    print(f"medians, {count} ports: {text(middle)}")
    print(f"apply over bare starts {apply:+.0f} %   swapped {moved:+.0f} %")
    print(f"a second apply over status x {middle['again'] / middle['status']:.2f}")


if __name__ == "__main__":
    main()
