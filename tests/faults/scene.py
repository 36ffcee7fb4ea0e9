"""A host for faults: five ports, tiny models, stand-in servers, strangers, and functions that
observe all of it.

The harness observes with its own code, never through the agent."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxops.agent.wire.codec import PROTOCOL
from mlxops.bundle import AGENT, LOADER
from mlxops.demo.tinymodel import write_cache
from tests.support.cramped import Budget
from tests.support.fakehub import FakeHub, Faults
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.sshd import Sshd

from .agentcall import INSIDE, Blow, Ended, Nursery, watched
from .foreign import Strangers, alive

SETTLED_WITHIN_S = 15.0
GRACE_S = 3.0
DYING = "dying"  # the model whose server exits before it is ready
WORKED = ("mule", "ox")  # models whose weights a worker holds, a child of the server
# Another model fits after unloading two of these, of which `quiet` holds the most, but not after
# unloading one.
HELD_MB = {"quiet": 72, "jade": 64}
CHILD_MB = 32
PAIR = "pair"  # the model with its second half on another host
FAR = "distant"  # the model that must be downloaded first
MODELS = ("amber", "jade", "quiet", "spare", DYING, *WORKED, PAIR)
LIGHT = "mlx_lm.server"
PEER = "peer"
# Loading takes long enough for a fault half-way.
DOWNLOAD_RATE = 1 << 20


@dataclass(frozen=True)
class Living:
    """A running server process: its port and the model in its command line."""

    pid: int
    port: int
    model: str


class Scene:
    """`ports`: the work port, one served by a bystander of ours, one held by a stranger, a free one
    and the one next to it."""

    def __init__(
        self, folder: Path, models: Mapping[str, dict[str, bytes]], python: str = sys.executable
    ) -> None:
        self.folder = folder
        self.hub = folder / "hf" / "hub"
        self.hub.mkdir(parents=True)
        self.registry_path = self.hub / "registry.json"
        # A copy, because an edit of the source during a long run would move the lines that name the
        # steps.
        self.code = folder / "code"
        shutil.copytree(AGENT, self.code / "agent", ignore=shutil.ignore_patterns("__pycache__"))
        for file in INSIDE:
            shutil.copy(file, self.code)
        self.memory = Budget(folder / "memory", folder / "state" / "run")
        (self.code / "smallness.py").write_text(self.memory.patch)
        self.remote = FakeHub(folder / "remote", Faults(rate=DOWNLOAD_RATE)).__enter__()
        write_cache(self.remote.root, f"tiny/{FAR}", models["spare"])
        self.tools = folder / "tools"
        self.tools.mkdir()
        self._peer: Sshd | None = None
        env = {
            "HF_ENDPOINT": self.remote.url,
            "HOME": str(folder),
            "PATH": f"{self.tools}:{os.defpath}",
        }
        self.nursery = Nursery(self.code, python, env)
        self.runtime = FakeRuntime(folder / "bin", python=f"{sys.executable} -IS")
        self.light = FakeRuntime(folder / "bin", LIGHT, python=f"{sys.executable} -IS")
        self.runtime.behaves(load_s=0, linger_s=0, child=False)
        self.runtime.behaves(f"models--tiny--{DYING}", load_s=0, die_after_s=0)
        for name, size in HELD_MB.items():
            self.runtime.behaves(
                f"models--tiny--{name}", load_s=0, linger_s=0, child=False, own_mb=size
            )
        for name in WORKED:
            self.runtime.behaves(
                f"models--tiny--{name}", load_s=0, linger_s=0.1, child=True, child_mb=CHILD_MB
            )
        for name, files in models.items():
            write_cache(self.hub, f"tiny/{name}", files)
        self.plain: dict[str, dict[str, Any]] = {}
        # port -> the model of its slot in the host file
        self.declared: dict[int, str] = {}
        self.ports = free_range(5)
        self.work, self.bystander, self.strange, self.free, self.next = self.ports
        self.strangers = Strangers(folder, self.strange, self.work)

    @property
    def site(self) -> dict[str, Any]:
        command = self.runtime.command
        return {
            "name": "host",
            "hf_home": str(self.folder / "hf"),
            "registry": str(self.registry_path),
            "ports": self.ports,
            "bind": "127.0.0.1",
            "state_dir": str(self.folder / "state"),
            "hub_python": sys.executable,
            "runtime": {
                "name": "mlx-openai-server",
                "command": command,
                "env": {},
                "startup_timeout_s": 20,
                "grace_s": GRACE_S,
            },
            "runtimes": {LIGHT: {"command": self.light.command}},
            "slots": {
                str(port): {"name": f"slot-{port}", "model": f"tiny/{name}"}
                for port, name in self.declared.items()
            },
        }

    def reach_peer(self) -> None:
        """Make the other host answer from now on."""
        if self._peer is None:
            self._peer = Sshd(self.folder / PEER, path=os.environ["PATH"]).start()
            self._peer.known_as(PEER, self.tools)

    def call(self, verb: str, args: Mapping[str, Any]) -> Ended:
        return self.nursery.call(self._request(verb, args))

    def watch(self, verb: str, args: Mapping[str, Any], blow: Blow | None = None) -> Ended:
        """Run a call that records its steps, or receives a fault at one of them."""
        return self.nursery.call(
            self._request(verb, args), watched(self.folder / "steps.jsonl", blow)
        )

    def _request(self, verb: str, args: Mapping[str, Any]) -> bytes:
        who = {"user": "tester", "from": "faults"}
        return json.dumps(
            {"protocol": PROTOCOL, "verb": verb, "args": args, "site": self.site, "who": who}
        ).encode()

    def must(self, verb: str, **args: Any) -> Any:
        """The result of a call without a fault, which must succeed."""
        ended = self.call(verb, args)
        assert ended.result is not None, f"{verb} {args}: {ended.record} {ended.stderr}"
        return ended.result

    def registry(self) -> dict[str, Any]:
        registry: dict[str, Any] = json.loads(self.registry_path.read_bytes())
        return registry

    def models(self) -> dict[str, dict[str, Any]]:
        models: dict[str, dict[str, Any]] = self.registry()["models"]
        return models

    def assigned(self) -> dict[int, str]:
        return {
            entry["port"]: name
            for name, entry in self.models().items()
            if entry["port"] is not None
        }

    def write_registry(self, models: Mapping[str, Any]) -> None:
        """Save it as an editor does."""
        self.registry_path.write_text(json.dumps({"version": 1, "models": models}, indent=2))

    def name_of(self, server: Living) -> str:
        """The model's name, by the folder of the cache in its path."""
        return Path(server.model).parts[-3].rpartition("--")[2]

    def servers(self) -> list[Living]:
        """The running server processes, by the program they were started as."""
        found = []
        for place, words in self._started(str(self.runtime.program)):
            found.append(
                Living(int(place.name), int(_after(words, "--port")), _after(words, "--model-path"))
            )
        for place, words in self._started(str(self.light.program)):
            if not _later_rank(place):
                found.append(
                    Living(int(place.name), int(_after(words, "--port")), _after(words, "--model"))
                )
        return found

    def ranks(self) -> list[int]:
        """The pids of the ranks that run on the other host."""
        return [
            int(place.name)
            for place, _ in self._started(str(self.light.program))
            if _later_rank(place)
        ]

    def ranks_on_record(self) -> dict[int, int]:
        """Their pids, each with its port, according to the assigned entries."""
        entries = [entry for entry in self.models().values() if entry["port"] is not None]
        rows = [
            (row["pid"], e["port"])
            for e in entries
            for row in (e.get("process") or {}).get("ranks", [])
        ]
        return dict(rows)

    def _started(self, program: str) -> Iterator[tuple[Path, list[str]]]:
        for place in Path("/proc").glob("[0-9]*"):
            words = _words(place)
            if program in words[1:3] and "--port" in words and alive(int(place.name)):
                yield place, words

    def family(self) -> list[int]:
        """Every process of this scene that is not a stranger: gates, servers, their workers."""
        folder = str(self.folder / "state" / "run")
        pids = [
            int(place.name)
            for place in Path("/proc").glob("[0-9]*")
            if _cwd(place).startswith(folder)
        ]
        return [pid for pid in pids if alive(pid)]

    def conducted(self) -> list[int]:
        """The agents that an agent of this scene has started on this host; they outlive it."""
        home = f"HOME={self.folder}"
        places = list(Path("/proc").glob("[0-9]*"))
        started = [place for place in places if LOADER in _words(place)]
        pids = [int(place.name) for place in started if home in _words(place, "environ")]
        return [pid for pid in pids if alive(pid)]

    def fetchers(self) -> list[int]:
        """The processes that download for the agent."""
        child = str(self.code / "agent" / "hub" / "child.py")
        pids = [int(place.name) for place in Path("/proc").glob("[0-9]*") if child in _words(place)]
        return [pid for pid in pids if alive(pid)]

    def settle(self) -> bool:
        """Wait until no process is starting or ending; False if that takes too long."""
        end = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < end:
            if self._still():
                return True
            time.sleep(0.05)
        return False

    def _still(self) -> bool:
        told = {record["pid"] for record in self.runtime.journal("signal")}
        gates = [pid for pid in self.family() if "mlxops-gate" in _words(Path(f"/proc/{pid}"))]
        servers = self.servers()
        leaders = {server.pid for server in servers}.union(self.ranks())
        workers = all(_group(pid) in leaders for pid in self.family())
        serving = all(s.pid not in told and serves(s.port) for s in servers)
        return not gates and workers and serving and not [*self.fetchers(), *self.conducted()]

    def forget(self) -> None:
        """Empty the runtime's journal."""
        self.runtime.program.with_name("journal.jsonl").unlink(missing_ok=True)

    def held_locks(self) -> list[str]:
        """Locks that are held."""
        return [path.name for path in self.hub.glob("*.lock") if not _lockable(path)]

    def kill(self, pid: int) -> None:
        """Kill one of our server processes, and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        while alive(pid):
            time.sleep(0.002)

    def clear(self) -> None:
        """End every process of ours, in any state."""
        while pids := [*self.conducted(), *self.family(), *self.fetchers()]:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.01)

    def end(self) -> None:
        self.clear()
        self.nursery.end()
        self.remote.__exit__(None, None, None)
        if self._peer:
            self._peer.stop()
        self.strangers.end()


def serves(port: int) -> bool:
    with socket.socket() as knock:
        knock.settimeout(5)
        return knock.connect_ex(("127.0.0.1", port)) == 0


def _words(place: Path, name: str = "cmdline") -> list[str]:
    try:
        return (place / name).read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def _later_rank(place: Path) -> bool:
    """Whether it is one of the ranks that do not listen."""
    try:
        return re.search(rb"\0MLX_RANK=[1-9]", (place / "environ").read_bytes()) is not None
    except OSError:
        return False


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def _cwd(place: Path) -> str:
    try:
        return os.readlink(place / "cwd")
    except OSError:
        return ""


def _lockable(path: Path) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
