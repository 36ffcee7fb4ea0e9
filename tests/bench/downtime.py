"""How long a swap takes a port down, under a steady stream of requests: `mlxops load --replace`, in
turn with a bare stop and start of the same servers.

python -m tests.bench.downtime [--rounds N] [--runtime mlx_lm.server|mlx-openai-server] [--program
PATH]

Down is from the last answer of the old server to the first of the new one, as a client sees it who
asks all the time. Bare means: SIGTERM, wait for the process and its children to be gone (the child
has the weights), start the other one at once."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlxops.agent.errors import Interrupted
from mlxops.agent.procs import local_procs
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.ports import free_range

ROOT = Path(__file__).parents[2]
NAMES = ("amber", "jade")
EVERY_S = 0.01
HOST_FILE = """
transport = "local"
[studio]
hf_home = "{home}/hf"
ports = "{port}-{port}"
bind = "127.0.0.1"
state_dir = "{home}/state"
[runtime]
name = "{runtime}"
command = {command}
env = {{HF_HUB_OFFLINE = "1"}}
"""


class Stream:
    """A client that asks again as soon as it is answered, and notes when it was and by whom."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[float, str]] = []
        body = json.dumps(
            {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
        ).encode()
        where = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._request = urllib.request.Request(where, body, {"Content-Type": "application/json"})
        self._over = threading.Event()

    @contextmanager
    def asking(self) -> Iterator[None]:
        asker = threading.Thread(target=self._ask)
        asker.start()
        yield
        self._over.set()
        asker.join()

    def _ask(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                with urllib.request.urlopen(self._request, timeout=60) as answer:
                    said = json.load(answer)["choices"][0]["message"]["content"]
            except (OSError, urllib.error.URLError):
                continue
            self.heard.append((time.monotonic(), said))

    def until(self, name: str) -> None:
        """Wait for an answer of this model."""
        while not any(name.upper() in said for _, said in self.heard[-1:]):
            time.sleep(EVERY_S)

    def down(self, old: str, new: str) -> float:
        """Seconds from the last answer of one model to the first of the other."""
        last = max(at for at, said in self.heard if old.upper() in said)
        return min(at for at, said in self.heard if new.upper() in said) - last


class Bench:
    """Two tiny models, and two ways to change from one to the other on a port."""

    def __init__(self, home: Path, runtime: str, command: list[str]) -> None:
        self._home, self._runtime, self._command, self._port = (
            home,
            runtime,
            command,
            free_range(1)[0],
        )
        self._argv: dict[str, list[str]] = {}
        for seed, name in enumerate(NAMES):
            write_cache(
                home / "hf" / "hub",
                f"bench/{name}",
                model_files(["I", " am", f" {name.upper()}"], seed=seed),
            )
        (home / "hosts").mkdir()
        text = HOST_FILE.format(
            home=home, port=self._port, runtime=runtime, command=json.dumps(command)
        )
        (home / "hosts" / "bench.toml").write_text(text)

    def prepare(self) -> None:
        """Load each model once, for its command line."""
        self._mlxops("init")
        for name in NAMES:
            self._mlxops("load", name, str(self._port), "--replace")
            registry = json.loads((self._home / "hf" / "hub" / "registry.json").read_text())
            self._argv[name] = registry["models"][name]["process"]["argv"]
        self._mlxops("unload", str(self._port))

    def close(self) -> None:
        self._mlxops("unload-all", "--yes")

    def ours(self, old: str, new: str) -> float:
        self._mlxops("load", old, str(self._port))
        try:
            return self._measured(
                old, new, lambda: self._mlxops("load", new, str(self._port), "--replace")
            )
        finally:
            self._mlxops("unload", str(self._port))

    def bare(self, old: str, new: str) -> float:
        servers = [self._start(old)]

        def swap() -> None:
            end(servers[0])
            servers.append(self._start(new))

        try:
            return self._measured(old, new, swap)
        finally:
            for server in servers:
                end(server)

    def _measured(self, old: str, new: str, swap: Callable[[], None]) -> float:
        stream = Stream(self._port)
        with stream.asking():
            stream.until(old)
            swap()
            stream.until(new)
        return stream.down(old, new)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        none = subprocess.DEVNULL
        return subprocess.Popen(
            self._argv[name],
            cwd=self._home,
            stdin=none,
            stdout=none,
            stderr=none,
            start_new_session=True,
        )

    def _mlxops(self, *words: str) -> None:
        where = ["--hosts-dir", str(self._home / "hosts"), "-q"]
        run = [sys.executable, "-m", "mlxops", *where, *words]
        ended = subprocess.run(run, cwd=ROOT, stdout=subprocess.DEVNULL)
        if ended.returncode == Interrupted.exit_code:
            raise KeyboardInterrupt
        ended.check_returncode()


def end(server: subprocess.Popen[bytes]) -> None:
    """Its whole group is gone then."""
    server.terminate()
    server.wait()
    while any(p.pgid == server.pid and not p.zombie for p in local_procs().processes().values()):
        time.sleep(EVERY_S)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runtime", default="mlx_lm.server")
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("mlx_lm.server")))
    asked = parser.parse_args()
    command = [asked.program, *(["launch"] if asked.runtime == "mlx-openai-server" else [])]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), asked.runtime, command)
        ours, bare = [], []
        try:
            bench.prepare()
            for number in range(asked.rounds):
                old, new = NAMES if number % 2 else NAMES[::-1]
                bare.append(bench.bare(old, new))
                ours.append(bench.ours(old, new))
                print(f"bare {bare[-1]:.2f} s   mlxops {ours[-1]:.2f} s", flush=True)
        finally:
            bench.close()
    hand, tool = statistics.median(bare), statistics.median(ours)
    print(f"{asked.runtime}: bare {hand:.2f} s   mlxops {tool:.2f} s   x {tool / hand:.2f}")


if __name__ == "__main__":
    main()
