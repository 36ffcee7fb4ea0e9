"""`python -m tests.faults.race --writers 32 --edits 50`: many concurrent writers on one registry,
and a check that no edit is lost.

A third of them write over ssh, through OpenSSH's server, a third in local mode, a third as complete
commands in the environment of cron, also over ssh. One more takes the registry's lock continuously
and measures how long it waits."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from mlxops.agent.registry.lock import FileLock
from mlxops.demo.loopback import Login
from tests.support.sshd import Sshd
from tests.support.studio import ROOT, Studio

WAYS = ("ssh", "local", "cron")
ASKS_EVERY_S = 0.02
LONGEST_WAIT_S = 60.0


@dataclass
class Race:
    """`seconds` of every command by its way; `waits` for the lock alone; `lost`: one sentence per
    error."""

    writers: int
    edits: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    lost: list[str] = field(default_factory=list)

    def table(self) -> str:
        rows = [(way, self._count(way), *_spread(self.seconds[way])) for way in WAYS]
        rows.append(("the lock alone", 1, *_spread(self.waits)))
        return tabulate(
            rows, headers=("way", "writers", "edits", "median s", "longest s"), floatfmt=".3f"
        )

    def _count(self, way: str) -> int:
        return sum(WAYS[number % len(WAYS)] == way for number in range(self.writers))


def _spread(seconds: Sequence[float]) -> tuple[int, float, float]:
    return len(seconds), statistics.median(seconds), max(seconds)


def race(folder: Path, writers: int, edits: int) -> Race:
    with Sshd(folder / "sshd") as server:
        login = Login(
            "127.0.0.1", server.port, server.user, str(server.client_key), str(server.known_hosts)
        )
        studio = Studio(
            folder / "studio", login, {"name": "mlx-openai-server", "command": ["/bin/false"]}
        )
        found = Race(writers, edits)
        _run(studio, found)
        found.lost += _wrong(studio, writers, edits)
        return found


def _run(studio: Studio, found: Race) -> None:
    """Start all at once, when all are ready."""
    crowd = [
        _writer(studio, WAYS[n % len(WAYS)], f"w{n}", found.edits) for n in range(found.writers)
    ]
    for writer in crowd:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    over = threading.Event()
    asker = threading.Thread(target=_ask, args=(studio, over, found.waits))
    asker.start()
    for writer in crowd:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for number, writer in enumerate(crowd):
        out, err = writer.communicate()
        _note(found, WAYS[number % len(WAYS)], out, err)
    over.set()
    asker.join()


def _writer(studio: Studio, way: str, name: str, edits: int) -> subprocess.Popen[str]:
    argv = [
        sys.executable,
        str(Path(__file__).with_name("racer.py")),
        str(studio.hosts_dir),
        way,
        name,
        str(edits),
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(studio.folder)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(argv, **pipes, text=True, env=environment, cwd=studio.folder)


def _note(found: Race, way: str, out: str, err: str) -> None:
    if not out:
        found.lost.append(f"a writer by {way} ended early: {err.strip().splitlines()[-1:]}")
        return
    told = json.loads(out)
    found.seconds.setdefault(way, []).extend(told["seconds"])
    found.refused += told["refused"]


def _ask(studio: Studio, over: threading.Event, waits: list[float]) -> None:
    while not over.wait(ASKS_EVERY_S):
        lock = FileLock(f"{studio.registry_path}.lock", turn=True)
        began = time.monotonic()
        lock.acquire(
            {"who": "asker", "from": "here", "since": "now", "why": "to know how long it takes"},
            LONGEST_WAIT_S,
        )
        waits.append(time.monotonic() - began)
        lock.release()


def _wrong(studio: Studio, writers: int, edits: int) -> list[str]:
    """Differences from one entry per edit, each made once, in a valid registry."""
    wanted = {f"w{writer}-{edit}" for writer in range(writers) for edit in range(edits)}
    there = set(studio.registry()["models"])
    history = studio.registry_path.with_suffix(".history.jsonl").read_text().splitlines()
    made = Counter(
        frozenset(change["entry"] for change in json.loads(line)["changes"]) for line in history
    )
    found = [f"{len(wanted - there)} edits are lost"] if wanted - there else []
    found += [f"{len(there - wanted)} entries are nobody's"] if there - wanted else []
    once = made == Counter(frozenset([name]) for name in wanted)
    found += (
        []
        if once
        else [f"the history tells otherwise: {len(history)} edits of {len(made)} entries"]
    )
    held = FileLock(f"{studio.registry_path}.lock").holder()
    return found + ([f"the lock is still held: {held}"] if held else [])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.race", description=__doc__)
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--edits", type=int, default=50, help="by each of them")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = race(Path(folder), asked.writers, asked.edits)
    print(found.table())
    total = sum(map(len, found.seconds.values()))
    print(
        f"\n{total} edits, {found.refused} refused and tried again, "
        f"{time.monotonic() - began:.0f} s"
    )
    print("\n".join(found.lost) or "every edit is there, once")
    return 1 if found.lost else 0


if __name__ == "__main__":
    sys.exit(main())
