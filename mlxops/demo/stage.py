"""The demo's host: a temporary folder with a model cache, a host file and an SSH server; all of it
is removed at the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from .. import interrupts, session
from ..agent.errors import Failed, Locked, MlxopsError
from ..hosts import files as hosts
from .loopback import Login, LoopbackServer
from .tinymodel import model_files, write_cache

Result = dict[str, Any]
Print = Callable[[str], None]
MODELS = {"demo/amber": "AMBER", "demo/jade": "JADE"}
RUNTIME = "mlx_lm.server"
UNLOCK_TIMEOUT_S = 60.0


def answer_of(name: str) -> str:
    """The answer of this model to every question."""
    return f"Hello, I am {name}."


class Stage:
    """A context manager. `call` runs a verb over SSH like any command; `ports` are two free
    ports."""

    def __init__(self, say: Print) -> None:
        self._say = say
        self._undo = contextlib.ExitStack()
        self.ports = free_ports(2)

    def __enter__(self) -> Stage:
        try:
            self._build()
        except BaseException:
            self._undo.close()
            raise
        return self

    def _build(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="mlxops-demo-"))
        self._undo.callback(shutil.rmtree, folder, ignore_errors=True)
        for seed, (repo_id, name) in enumerate(MODELS.items()):
            files = model_files(["Hello", ", I", " am", f" {name}", "."], seed=seed)
            write_cache(folder / "hf" / "hub", repo_id, files)
        (folder / "home").mkdir()
        login = self._undo.enter_context(LoopbackServer(folder, folder / "home")).login
        self.hosts_dir = folder / "hosts"
        self.hosts_dir.mkdir()
        (self.hosts_dir / "demo.toml").write_text(host_file(folder, login, self.ports))
        for path in (self.hosts_dir, self.hosts_dir / "demo.toml"):
            path.chmod(0o700)  # whatever the umask: a host file that others can write is refused
        self.host = hosts.find_host("demo", str(self.hosts_dir))
        self._undo.callback(self._stop_servers)

    def call(self, verb: str, **args: Any) -> Result:
        return session.call(self.host, verb, args, self._print_event)

    def _print_event(self, event: Result) -> None:
        if event["event"] in ("phase", "warning"):
            self._say(f"  {event['message']}")

    def _stop_servers(self) -> None:
        """Stop all servers. Locally, because the SSH server may be what failed."""
        end = time.monotonic() + UNLOCK_TIMEOUT_S
        while True:
            try:
                result = session.call(
                    self.host.local(),
                    "unload-all",
                    {"grace_s": 5, "dry_run": False},
                    lambda _: None,
                )
            except Locked:  # an interrupted load is still being rolled back
                result = {"ports": [{"ok": False}]}
            except MlxopsError as exc:
                return self._say(f"could not clean up: {exc.message}")
            if all(port["ok"] for port in result["ports"]):
                return
            if time.monotonic() > end:
                return self._say(
                    "could not stop every server; check for running mlx_lm.server processes"
                )
            time.sleep(0.5)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._say("\nCleaning up")
        with interrupts.suspended():
            self._undo.close()


def free_ports(count: int) -> list[int]:
    """Free ports, ascending. All are bound at the same time, so that they differ."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return sorted(probe.getsockname()[1] for probe in probes)


def host_file(folder: Path, login: Login, ports: list[int]) -> str:
    """The text of an ordinary host file; its runtime is the mlx_lm.server beside this Python."""
    server = Path(sys.executable).with_name(RUNTIME)
    if not server.exists():
        hint = f"{sys.executable} -m pip install '.[demo]', in a clone of the project"
        raise Failed(
            f"the demo needs {RUNTIME}, which is not installed beside {sys.executable}", hint
        )
    tables: dict[str, dict[str, Any]] = {
        "ssh": {**vars(login)},
        "studio": {
            "hf_home": str(folder / "hf"),
            "ports": ports,
            "bind": "127.0.0.1",
            "python": sys.executable,
            "state_dir": str(folder / "state"),
        },
        "runtime": {
            "name": RUNTIME,
            "command": [str(server)],
            "startup_timeout_s": 120,
            "grace_s": 20,
        },
        "runtime.env": {"HF_HUB_OFFLINE": "1"},
        **{f"slots.{port}": {"name": f"demo-{number}"} for number, port in enumerate(ports, 1)},
    }
    return 'transport = "ssh"\n' + "".join(
        f"\n[{name}]\n" + _lines(keys) for name, keys in tables.items()
    )


def _lines(keys: dict[str, Any]) -> str:
    """The keys of a TOML table; strings, numbers and lists have the same form in JSON."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
