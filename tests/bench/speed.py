"""How long `list` and `status` take over loopback sshd, in turn with bare `ssh host true`, and
where the time goes.

python -m tests.bench.speed [--rounds N] [--limit RATIO]

Whole processes, wall time, medians. The ratio is to `ssh host true` measured in the same rounds,
because machines and their moods differ. With --limit the exit status is 1 when `list` costs more
than that."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.sshd import Sshd

ROOT = Path(__file__).parents[2]
HOST_FILE = """
transport = "ssh"
[ssh]
host = "127.0.0.1"
user = "{user}"
port = {port}
identity_file = "{key}"
known_hosts_file = "{known}"
[studio]
hf_home = "{home}/hf"
ports = "8100-8109"
state_dir = "{home}/state"
"""


class Bench:
    """One server, and the commands that are timed against it."""

    def __init__(self, folder: Path, server: Sshd) -> None:
        self.hosts = folder / "hosts"
        self.hosts.mkdir()
        (server.home / "hf" / "hub").mkdir(parents=True)
        text = HOST_FILE.format(
            user=server.user,
            port=server.port,
            key=server.client_key,
            known=server.known_hosts,
            home=server.home,
        )
        (self.hosts / "bench.toml").write_text(text)
        login = [
            f"UserKnownHostsFile={server.known_hosts}",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "ControlPath=none",
        ]
        flags = [word for option in login for word in ("-o", option)]
        self.ssh = [
            "ssh",
            *flags,
            "-i",
            str(server.client_key),
            "-p",
            str(server.port),
            f"{server.user}@127.0.0.1",
        ]
        self.cli = [sys.executable, "-m", "mlxops", "--hosts-dir", str(self.hosts)]

    def commands(self) -> dict[str, list[str]]:
        registry = "cat /etc/hostname"
        return {
            "ssh host true": [*self.ssh, "true"],
            "ssh host cat": [*self.ssh, registry],
            "list": [*self.cli, "list"],
            "status": [*self.cli, "status"],
            "list --local": [*self.cli, "--local", "list"],
            "--help": [*self.cli, "--help"],
        }


def timed(argv: Sequence[str]) -> float:
    """Milliseconds of one whole process."""
    started = time.perf_counter()
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
    took = (time.perf_counter() - started) * 1000
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr.decode()}")
    return took


def measure(bench: Bench, rounds: int) -> dict[str, float]:
    """Medians in ms; every command once per round, in turn."""
    commands = bench.commands()
    for argv in commands.values():
        timed(argv)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, argv in commands.items():
            taken[name].append(timed(argv))
    return {name: statistics.median(values) for name, values in taken.items()}


def shares(bench: Bench, rounds: int) -> dict[str, float]:
    """Medians in ms of the stages of one `list`, each from the end of the one before."""
    argv = [sys.executable, "-m", "tests.bench.stages", str(bench.hosts)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs: list[dict[str, float]] = []
    for _ in range(rounds):
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, check=True, text=True)
        runs.append(json.loads(done.stdout))
    return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--limit", type=float)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sshd(Path(folder, "sshd")) as server:
        bench = Bench(Path(folder), server)
        medians = measure(bench, chosen.rounds)
        stages = shares(bench, chosen.rounds)
    base = medians["ssh host true"]
    for name, value in medians.items():
        print(f"{name:16} {value:7.1f} ms   x {value / base:.2f}")
    print("\nwhere one list goes:")
    for stage, value in stages.items():
        print(f"  {stage:34} {value:6.1f} ms   {value / sum(stages.values()):4.0%}")
    if chosen.limit and medians["list"] > chosen.limit * base:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
