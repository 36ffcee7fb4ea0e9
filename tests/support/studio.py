"""A Studio for one test: a cache of tiny models, a registry, a port range, a host file, and the
command line configured for it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlxops.demo.loopback import Login
from mlxops.demo.tinymodel import write_cache
from tests.support.ports import free_range

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
# The interpreter of the agent, if it differs from the one of the tests.
AGENT_PYTHON = "MLXOPS_TEST_AGENT_PYTHON"


@dataclass(frozen=True)
class Answer:
    """The outcome of one command. `result` and `error` are those of --json."""

    exit: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    @property
    def result(self) -> dict[str, Any]:
        assert self.exit in (0, 1, 11), self
        result: dict[str, Any] = self.document["result"]
        return result

    @property
    def error(self) -> dict[str, Any]:
        assert self.exit != 0, self
        error: dict[str, Any] = self.document["error"]
        return error


@dataclass
class Studio:
    """`login` None means a local host; `runtime` is the [runtime] table of the host file;
    `declared` is port -> the model of its slot, `hub_table` the [hub] table."""

    folder: Path
    login: Login | None
    runtime: dict[str, Any]
    ports: list[int] = field(default_factory=lambda: free_range(3))
    env: dict[str, str] = field(default_factory=dict)
    declared: dict[int, str] = field(default_factory=dict)
    described: dict[str, Any] = field(default_factory=dict)
    hub_table: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place in (self.hub, self.state_dir, self.hosts_dir):
            place.mkdir(parents=True, exist_ok=True)
        self.describe()

    @property
    def hf_home(self) -> Path:
        return self.folder / "hf"

    @property
    def hub(self) -> Path:
        return self.hf_home / "hub"

    @property
    def registry_path(self) -> Path:
        return self.hub / "registry.json"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def hosts_dir(self) -> Path:
        return self.folder / "hosts"

    def slot(self, port: int) -> str:
        return f"slot-{port}"

    def describe(self, **studio: Any) -> None:
        """Write the host file; keywords are added to its [studio] table."""
        self.described = studio
        tables: dict[str, Mapping[str, Any]] = {
            "studio": {
                "hf_home": str(self.hf_home),
                "registry": str(self.registry_path),
                "ports": f"{self.ports[0]}-{self.ports[-1]}",
                "bind": "127.0.0.1",
                "python": os.environ.get(AGENT_PYTHON) or sys.executable,
                "state_dir": str(self.state_dir),
                **studio,
            },
            "runtime": self.runtime,
            "hub": self.hub_table,
        }
        if self.login:
            tables["ssh"] = {**asdict(self.login), "connect_timeout_s": 20}
        tables |= {f"slots.{port}": self._slot_table(port) for port in self.ports}
        transport = f"transport = {_toml('ssh' if self.login else 'local')}\n"
        text = transport + "".join(map(_table, tables, tables.values()))
        (self.hosts_dir / "studio.toml").write_text(text)

    def _slot_table(self, port: int) -> dict[str, str]:
        model = {"model": self.declared[port]} if port in self.declared else {}
        return {"name": self.slot(port), **model}

    def declare(self, models: Mapping[int, str]) -> None:
        """Write port -> model, as a person does in an editor; no other port keeps one, and the
        rest of the file stays."""
        self.declared = dict(models)
        self.describe(**self.described)

    def add(self, repo_id: str, files: Mapping[str, bytes]) -> Path:
        return write_cache(self.hub, repo_id, files)

    def argv(self, *words: object) -> list[str]:
        where = ["--hosts-dir", str(self.hosts_dir), "--host", "studio"]
        return [sys.executable, "-m", "mlxops", *where, *map(str, words)]

    def start(self, *words: object, **popen: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.env}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            self.argv(*words), text=True, env=environment, cwd=self.folder, **{**pipes, **popen}
        )

    def mlxops(self, *words: object, timeout_s: float = 120) -> Answer:
        """Run one command with --json to its end."""
        return finished(self.start("--json", *words), timeout_s)

    def must(self, *words: object) -> dict[str, Any]:
        """The result of a command that must succeed."""
        answer = self.mlxops(*words)
        assert answer.exit == 0, answer
        return answer.result

    def locked(self) -> bool:
        """Whether an agent works on the registry or on a port."""
        return any(held(path) for path in self.hub.glob("registry.json*.lock"))

    def registry(self) -> dict[str, Any]:
        registry: dict[str, Any] = json.loads(self.registry_path.read_text())
        return registry

    def entry(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.registry()["models"][name]
        return entry

    def assignments(self) -> dict[str, int]:
        """Entry -> port, for entries that have one."""
        models = self.registry()["models"]
        return {name: entry["port"] for name, entry in models.items() if entry["port"] is not None}

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the registry as a text editor would."""
        registry = self.registry()
        change(registry)
        self.registry_path.write_text(json.dumps(registry, indent=2))

    def port_row(self, port: int) -> dict[str, Any]:
        rows: Sequence[dict[str, Any]] = self.must("status")["ports"]
        return next(row for row in rows if row["port"] == port)

    def ask(self, port: int, model: str | None = None) -> str:
        """The answer of the model on a port, requested by the name its slot serves."""
        body = {"messages": [{"role": "user", "content": "who are you?"}], "max_tokens": 32}
        if model:
            body["model"] = model
        answer = post(port, CHAT, body)
        return str(answer["choices"][0]["message"]["content"])


def held(path: Path) -> bool:
    """Whether another process has locked this file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def finished(process: subprocess.Popen[str], timeout_s: float = 120) -> Answer:
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        stdout, stderr = process.communicate()
        raise AssertionError(f"no end within {timeout_s} s: {stdout}{stderr}") from None
    return Answer(process.returncode, stdout, stderr)


def post(port: int, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    where = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(
        where, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        document: dict[str, Any] = json.load(answer)
        return document


def eventually(value: Callable[[], Any], within_s: float = 60) -> Any:
    """The first true value; failures to connect count as not yet."""
    end = time.monotonic() + within_s
    while True:
        try:
            if found := value():
                return found
        except OSError:
            pass
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.01)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _table(name: str, keys: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
