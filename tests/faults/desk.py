"""The client's machine: a home, a temporary folder, a host file, and the real command line.

The host is a Scene, reached locally or through OpenSSH's sshd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlxops
from mlxops.bundle import LOADER
from tests.support.sshd import Sshd

from .agentcall import Blow, Step, watched
from .foreign import alive
from .scene import Scene

INSIDE = [
    Path(__file__).with_name(name) for name in ("clientsaboteur.py", "saboteur.py", "strikes.py")
]
LONGEST_S = 60.0
ENDED_WITHIN_S = 30.0


@dataclass(frozen=True)
class Said:
    """How a client ended, and its output. `steps` are those of a run that was only recorded."""

    status: int
    stdout: str
    stderr: str
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    struck: bool = False

    @property
    def document(self) -> dict[str, Any]:
        """The document of --json; empty without output."""
        document: dict[str, Any] = json.loads(self.stdout) if self.stdout.strip() else {}
        return document

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.document.get("error") or {}
        return error


class Desk:
    """`ssh` False: the client runs on the host itself."""

    def __init__(self, scene: Scene, ssh: bool) -> None:
        self.scene = scene
        self.folder = scene.folder / ("far" if ssh else "near")
        self.home, self.tmp, self.code = (self.folder / name for name in ("home", "tmp", "code"))
        for place in (self.home, self.tmp, self.folder / "hosts"):
            place.mkdir(parents=True)
        # A copy, because an edit of the source during a long run would move the lines that name the
        # steps.
        source = Path(mlxops.__file__).parent
        shutil.copytree(source, self.code / "mlxops", ignore=shutil.ignore_patterns("__pycache__"))
        for file in INSIDE:
            shutil.copy(file, self.code)
        self.server = Sshd(self.folder / "sshd").start() if ssh else None
        self.describe()

    def describe(self, python: str | None = None) -> None:
        """Write the host file; the agent's interpreter is this one, or one under which it sees the
        memory of the scene."""
        site, python = self.scene.site, python or self.scene.memory.python(sys.executable)
        studio = {key: site[key] for key in ("hf_home", "registry", "bind", "state_dir")}
        ports = f"{self.scene.ports[0]}-{self.scene.ports[-1]}"
        runtime = {key: value for key, value in site["runtime"].items() if value}
        tables = {
            "ssh": self._login(),
            "studio": {**studio, "ports": ports, "python": python},
            "runtime": runtime,
        }
        text = f'transport = "{"ssh" if self.server else "local"}"\n' + "".join(
            map(_table, tables, tables.values())
        )
        (self.folder / "hosts" / "host.toml").write_text(text)

    def _login(self) -> dict[str, Any]:
        if self.server is None:
            return {}
        keys = {
            "identity_file": str(self.server.client_key),
            "known_hosts_file": str(self.server.known_hosts),
        }
        where = {
            "host": "127.0.0.1",
            "port": self.server.port,
            "user": self.server.user,
            "connect_timeout_s": 10,
        }
        return {**where, **keys}

    @property
    def env(self) -> dict[str, str]:
        places = {"HOME": str(self.home), "TMPDIR": str(self.tmp), "PYTHONPATH": str(self.code)}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **places}

    def start(
        self, words: Sequence[str], plan: Mapping[str, Any] | None = None, **popen: Any
    ) -> subprocess.Popen[str]:
        inside = [str(self.code / INSIDE[0].name), json.dumps(plan)] if plan else ["-m", "mlxops"]
        argv = [sys.executable, *inside, "--hosts-dir", str(self.folder / "hosts"), *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # A test runner in the background of a shell ignores Ctrl-C, and so would its children.
        heed: Any = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        more = {**pipes, "preexec_fn": heed, "start_new_session": True, **popen}
        return subprocess.Popen(argv, env=self.env, cwd=self.folder, text=True, **more)

    def run(self, words: Sequence[str], plan: Mapping[str, Any] | None = None) -> Said:
        """Run one command to its end."""
        began = time.monotonic()
        with self.start(words, plan) as client:
            try:
                stdout, stderr = client.communicate(timeout=LONGEST_S)
            except subprocess.TimeoutExpired:
                client.kill()
                stdout, stderr = client.communicate()
                stderr += f"\nno end within {LONGEST_S:.0f} s"
        said = Said(client.returncode, stdout, stderr, time.monotonic() - began)
        return watched_steps(said, Path(plan["log"])) if plan else said

    def watch(self, words: Sequence[str], blow: Blow | None = None, moments: bool = False) -> Said:
        """Run a command that records its steps, or receives a fault at one of them; see both halves
        of the saboteur."""
        log = self.folder / "steps.jsonl"
        log.unlink(missing_ok=True)
        return self.run(words, {**watched(log, blow), "moments": moments})

    def agents(self) -> list[int]:
        """The agents that run for this desk on the host."""
        return [pid for pid, words in self._ours() if LOADER in words]

    def left_running(self) -> list[str]:
        """Processes left by the client, except the agents."""
        return [" ".join(words) for pid, words in self._ours() if LOADER not in words]

    def _ours(self) -> Iterator[tuple[int, list[str]]]:
        known = {self.server.pid} if self.server else set()
        known.update(self.scene.family())
        for place in Path("/proc").glob("[0-9]*"):
            pid = int(place.name)
            if pid not in known and alive(pid) and f"={self.folder}" in _read(place / "environ"):
                words = _read(place / "cmdline").split("\0")
                # Servers inherit the environment of the agent that launched them.
                if str(self.scene.runtime.program) not in words and "mlxops-gate" not in words:
                    yield pid, words

    def quiet(self) -> bool:
        """Wait until no process of ours runs on the host; False if that takes too long."""
        end = time.monotonic() + ENDED_WITHIN_S
        while self.agents() or self.left_running():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return self.scene.settle()

    def litter(self) -> list[str]:
        """Temporary files that still exist."""
        return [str(path) for path in self.tmp.iterdir()]

    def end(self) -> None:
        if self.server:
            self.server.stop()


def watched_steps(said: Said, log: Path) -> Said:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = tuple(Step(x["event"], x["place"], x["nth"], x["look"]) for x in lines if "look" in x)
    struck = any("struck" in line for line in lines)
    return Said(said.status, said.stdout, said.stderr, said.seconds, steps, struck)


def _table(name: str, keys: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())


def _toml(value: Any) -> str:
    return json.dumps(value)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
