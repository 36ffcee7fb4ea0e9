"""`list --all` on many hosts against as many bare `ssh host true` in parallel, in turn: one sshd
with a host file for each host, one of them dead.

python -m tests.bench.many [--hosts 50] [--rounds 5]"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.ports import free_range
from tests.support.sshd import Sshd
from tests.support.studio import ROOT

SETTLE_S = 2.0
"""Between two runs: the ended sessions still use the processors."""
HOST_FILE = """
[ssh]
host = "127.0.0.1"
port = {port}
user = "{user}"
identity_file = "{key}"
known_hosts_file = "{known}"
[studio]
hf_home = "{folder}"
python = "{python}"
state_dir = "{folder}/state"
"""


def write_hosts(folder: Path, server: Sshd, count: int) -> list[int]:
    """The host files; the SSH port of each. The one in the middle is dead."""
    (dead,) = free_range(1)
    (folder / "hosts").mkdir()
    (folder / "hub").mkdir()
    (folder / "hub/registry.json").write_text('{"version": 1, "models": {}}\n')
    ports = [dead if number == count // 2 else server.port for number in range(count)]
    for number, port in enumerate(ports):
        text = HOST_FILE.format(
            port=port,
            user=server.user,
            key=server.client_key,
            known=server.known_hosts,
            folder=folder,
            python=sys.executable,
        )
        (folder / f"hosts/h{number:03}.toml").write_text(text)
    return ports


def bare(server: Sshd, ports: list[int]) -> None:
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
    options += ["-o", f"UserKnownHostsFile={server.known_hosts}", "-i", str(server.client_key)]
    calls = [
        subprocess.Popen(
            ["ssh", *options, "-p", str(port), f"{server.user}@127.0.0.1", "true"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in ports
    ]
    for call in calls:
        call.wait()


def ours(folder: Path) -> None:
    words = [sys.executable, "-m", "mlxops", "--hosts-dir", str(folder / "hosts"), "list", "--all"]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stderr.count(" hosts failed: ") == 1 and "1 of " in done.stderr, done.stderr


def seconds(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    time.sleep(SETTLE_S)
    return took


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Sshd(folder / "sshd") as server:
            ports = write_hosts(folder, server, args.hosts)
            seconds(lambda: ours(folder))  # the agent is delivered once
            pairs = [
                (seconds(lambda: bare(server, ports)), seconds(lambda: ours(folder)))
                for _ in range(args.rounds)
            ]
    ssh, mlxops = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{args.hosts} x ssh host true: {ssh:.2f} s; list --all: {mlxops:.2f} s, ", end="")
    print(f"ratio {statistics.median(b / a for a, b in pairs):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
