"""What `load` adds to a server's own start: mlx_lm.server by hand until its first chat, in turn
with `mlxops load`.

python -m tests.bench.load [--rounds N]

Whole processes on this machine, wall time, medians. By hand means: start it, ask until a chat is
answered."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.ports import free_range

ROOT = Path(__file__).parents[2]
SERVER = str(Path(sys.executable).with_name("mlx_lm.server"))
BODY = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}).encode()
HOST_FILE = """
transport = "local"
[studio]
hf_home = "{home}/hf"
ports = "{port}-{port}"
state_dir = "{home}/state"
[runtime]
name = "mlx_lm.server"
command = ["{server}"]
"""


def by_hand(snapshot: Path, port: int) -> float:
    """Seconds from start to the first answered chat."""
    began = time.monotonic()
    with subprocess.Popen(
        [SERVER, "--model", str(snapshot), "--port", str(port)], stderr=subprocess.DEVNULL
    ) as server:
        while not answers(port):
            time.sleep(0.01)
        took = time.monotonic() - began
        server.terminate()
    return took


def answers(port: int) -> bool:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", BODY, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def mlxops(home: Path, *words: str) -> float:
    began = time.monotonic()
    where = ["--hosts-dir", str(home / "hosts"), "-q"]
    subprocess.run(
        [sys.executable, "-m", "mlxops", *where, *words],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_range(1)[0]
        snapshot = write_cache(home / "hf" / "hub", "bench/tiny", model_files(["hello"]))
        (home / "hosts").mkdir()
        (home / "hosts" / "bench.toml").write_text(
            HOST_FILE.format(home=home, port=port, server=SERVER)
        )
        mlxops(home, "init")
        mlxops(home, "load", "tiny", str(port))
        mlxops(home, "unload", str(port))
        hand, tool = [], []
        for _ in range(rounds):
            hand.append(by_hand(snapshot, port))
            tool.append(mlxops(home, "load", "tiny", str(port)))
            mlxops(home, "unload", str(port))
    ours, theirs = statistics.median(tool), statistics.median(hand)
    print(
        f"by hand {theirs:.2f} s   mlxops load {ours:.2f} s   added {ours - theirs:+.2f} s   x "
        f"{ours / theirs:.2f}"
    )


if __name__ == "__main__":
    main()
