"""What `status --watch` costs on either side: seconds of processor time per second, at one look a
second, with ten servers, while nothing changes and while requests come and go.

python -m tests.bench.watch [--seconds N] [--limit PERCENT]

Over a real sshd, in a terminal of 120x40. The host's share is that of the agent and of the programs
it runs; sshd's is printed beside it. With --limit the exit status is 1 if the client or the agent
takes more than that."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlxops.agent.procs import Process, local_procs, tree
from mlxops.demo.loopback import Login
from mlxops.demo.tinymodel import model_files
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.sshd import Sshd
from tests.support.studio import CHAT, Studio, post
from tests.support.survivors import kill_all

PORTS = 10
SETTLE_S = 5.0
TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def studio(folder: Path, server: Sshd) -> Iterator[Studio]:
    """Ten stand-in servers, each with a model of its own."""
    login = Login(
        host="127.0.0.1",
        port=server.port,
        user=server.user,
        identity_file=str(server.client_key),
        known_hosts_file=str(server.known_hosts),
    )
    runtime = FakeRuntime(folder / "bin").table()
    made = Studio(folder / "studio", login, runtime, ports=free_range(PORTS))
    for seed, port in enumerate(made.ports):
        made.add(f"tiny/m{port}", model_files(["I", " am", " here", "."], seed=seed))
    made.must("init")
    for port in made.ports:
        made.must("load", f"m{port}", port)
    try:
        yield made
    finally:
        kill_all(folder)


def cpu_s(processes: tuple[Process, ...]) -> float:
    """Processor time of these processes and of their ended children."""
    total = 0.0
    for process in processes:
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / TICK
    return total


def measure(client: int, sshd: int, seconds: float) -> dict[str, float]:
    """Side -> percent of one core."""

    def sides() -> dict[str, float]:
        table = local_procs().processes()
        below = tree(table, sshd)[1:]
        links = tuple(p for p in below if "sshd" in "".join(p.argv[:1]))
        agents = tuple(p for p in below if p not in links and "/bin/sh" not in p.argv[:1])
        return {"client": cpu_s((table[client],)), "agent": cpu_s(agents), "sshd": cpu_s(links)}

    before, began = sides(), time.monotonic()
    time.sleep(seconds)
    after, took = sides(), time.monotonic() - began
    return {side: 100 * (after[side] - before[side]) / took for side in before}


@contextmanager
def talking(watched: Studio) -> Iterator[None]:
    """Requests that come and go: about five a second."""
    over = threading.Event()

    def talk() -> None:
        while not over.is_set():
            for port in watched.ports:
                post(port, CHAT, {"messages": [{"role": "user", "content": "hi"}]})
                over.wait(0.1)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def at_a_terminal(argv: list[str]) -> Iterator[int]:
    """The pid of the command, whose screen of 120x40 is read and thrown away."""
    keys, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    env = {**os.environ, "PYTHONPATH": os.getcwd(), "TERM": "xterm-256color"}
    with subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as client:
        os.close(theirs)
        reader = threading.Thread(target=drain, args=(keys,), daemon=True)
        reader.start()
        yield client.pid
        os.write(keys, b"q")
        client.wait(timeout=10)


def drain(fd: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(fd, 65536):
            pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--limit", type=float)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-watch"))
    worst = 0.0
    with Sshd(folder / "sshd") as server, studio(folder, server) as watched:
        argv = watched.argv("status", "--watch", "--interval", 1)
        for title, load in (("quiet", contextlib.nullcontext()), ("busy", talking(watched))):
            with at_a_terminal(argv) as client, load:
                time.sleep(SETTLE_S)
                shares = measure(client, server.pid, args.seconds)
            line = ", ".join(f"{side} {percent:.2f} %" for side, percent in shares.items())
            print(f"{title}: {line} of one core")
            worst = max(worst, shares["client"], shares["agent"])
    return int(args.limit is not None and worst > args.limit)


if __name__ == "__main__":
    sys.exit(main())
