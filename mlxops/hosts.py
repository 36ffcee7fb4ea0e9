"""Host files: where they are looked up, which one is meant, and what it says as a frozen value."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import hostfile
from .agent.errors import Usage
from .hostfile import Table

GRACE_S = 60.0
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Ssh:
    """How to reach a host; None leaves the matter to ~/.ssh/config."""

    host: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S


@dataclass(frozen=True)
class Host:
    """One host file. `site` is, as it stands, the part of every request that describes the machine."""

    name: str
    path: Path
    transport: str
    ssh: Ssh
    python: str | None
    site: dict[str, Any]

    def local(self) -> Host:
        """The same machine, seen from itself."""
        return replace(self, transport="local")

    def port(self, word: str) -> int:
        """The port meant by its number or by its slot's name; Usage for any other word."""
        for number, slot in self.site["slots"].items():
            if slot["name"] == word:
                return int(number)
        if hostfile.number(word) in self.site["ports"]:
            return int(word)
        raise Usage(f"{word} is no port and no slot of {self.name}", f"{self.name} has {self._ports()}", port=word)

    def _ports(self) -> str:
        names = {int(number): slot["name"] for number, slot in self.site["slots"].items()}
        return ", ".join(f"{p} ({names[p]})" if p in names else str(p) for p in self.site["ports"])


def folders(hosts_dir: str | None) -> list[Path]:
    """Where host files are looked up. A folder that was named is the only one; otherwise earlier wins."""
    named = hosts_dir or os.environ.get("MLXOPS_HOSTS_DIR")
    if named:
        return [Path(named).expanduser()]
    return [Path("hosts"), Path.home() / ".config/mlxops/hosts"]


def available(hosts_dir: str | None) -> dict[str, Path]:
    """The host files there are, by name."""
    found: dict[str, Path] = {}
    for folder in folders(hosts_dir):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find(name: str | None, hosts_dir: str | None) -> Host:
    """The host of this name, or the one meant when none is given; Usage when that is nobody's or anybody's."""
    return read(choose(name, hosts_dir))


def choose(name: str | None, hosts_dir: str | None) -> Path:
    """The file that `find` reads."""
    found = available(hosts_dir)
    wanted, source = _wanted(name)
    if not found:
        raise _nothing(hosts_dir)
    if wanted in found:
        return found[wanted]
    known = ", ".join(found)
    if wanted:
        raise Usage(f"no host file for {wanted!r}, which {source} asks for", f"there are: {known}", known=[*found])
    if len(found) > 1:
        raise Usage("several hosts, and none chosen", f"say --host NAME, one of {known}", known=[*found])
    return next(iter(found.values()))


def _nothing(hosts_dir: str | None) -> Usage:
    looked = ", ".join(str(folder) if folder.is_absolute() else f"./{folder}" for folder in folders(hosts_dir))
    hint = "copy hosts/studio.toml of the project to ~/.config/mlxops/hosts/NAME.toml and edit it, or say --hosts-dir"
    return Usage(f"no host file in {looked}", hint, looked_in=looked)


def _wanted(name: str | None) -> tuple[str, str]:
    """The host asked for, with who asks; an empty name when nobody does."""
    if name:
        return name, "--host"
    if os.environ.get("MLXOPS_HOST"):
        return os.environ["MLXOPS_HOST"], "MLXOPS_HOST"
    path = Path.home() / ".config/mlxops/config.toml"
    return (_configured(path), str(path)) if path.exists() else ("", "")


def _configured(path: Path) -> str:
    top = hostfile.read(path)
    host: str = top.take("host", hostfile.text, "")
    top.close()
    return host


def read(path: Path) -> Host:
    """The host a file describes; Usage naming file and key for the first thing wrong with it."""
    top = hostfile.read(path)
    transport = top.take("transport", hostfile.one_of("ssh", "local"), "ssh")
    ssh = _ssh(top.table("ssh"), path.stem)
    python, site = _studio(top.table("studio"))
    site["name"] = path.stem
    site["runtime"] = _runtime(top.table("runtime"))
    site["runtimes"] = _runtimes(top.table("runtimes"))
    site["slots"] = _slots(top.table("slots"), site["ports"])
    top.close()
    return Host(path.stem, path, transport, ssh, python, site)


def _ssh(table: Table, name: str) -> Ssh:
    ssh = Ssh(
        host=table.take("host", hostfile.ssh_word, name),
        user=table.take("user", hostfile.ssh_word, None),
        port=table.take("port", hostfile.port, None),
        identity_file=table.take("identity_file", hostfile.client_path, None),
        known_hosts_file=table.take("known_hosts_file", hostfile.client_path, None),
        connect_timeout_s=table.take("connect_timeout_s", hostfile.seconds, CONNECT_TIMEOUT_S),
    )
    table.close()
    return ssh


def _studio(table: Table) -> tuple[str | None, dict[str, Any]]:
    hf_home = table.take("hf_home", hostfile.home_path)
    site = {
        "hf_home": hf_home,
        "registry": table.take("registry", hostfile.home_path, f"{hf_home.rstrip('/')}/hub/registry.json"),
        "ports": table.take("ports", hostfile.ports, list(range(8100, 8110))),
        "bind": table.take("bind", hostfile.address, "127.0.0.1"),
        "state_dir": table.take("state_dir", hostfile.home_path, "~/.mlxops"),
        "hub_python": table.take("hub_python", hostfile.absolute, None),
        "templates": table.take("templates", hostfile.home_path, None),
    }
    python = table.take("python", hostfile.text, None)
    table.close()
    return python, site


def _runtime(table: Table) -> dict[str, Any]:
    runtime = {
        "name": table.take("name", hostfile.text, "mlx-openai-server"),
        "command": table.take("command", hostfile.words, None),
        "env": table.take("env", hostfile.environment, {}),
        "startup_timeout_s": table.take("startup_timeout_s", hostfile.seconds, None),
        "grace_s": table.take("grace_s", hostfile.seconds, GRACE_S),
    }
    table.close()
    return runtime


def _runtimes(table: Table) -> dict[str, Any]:
    if not table.names():
        return {}
    from . import hostruntimes

    return hostruntimes.read(table)


def _slots(table: Table, ports: list[int]) -> dict[str, Any]:
    slots: dict[str, Any] = {}
    for key in table.names():
        slot = _slot(table.table(key))
        if hostfile.number(key) not in ports:
            raise table.wrong(key, "is not one of the host's ports")
        if slot["name"] in [other["name"] for other in slots.values()]:
            raise table.wrong(f"{key}.name", f"is {slot['name']!r}, the name of another slot")
        slots[str(int(key))] = slot
    return slots


def _slot(table: Table) -> dict[str, Any]:
    name = table.take("name", hostfile.text)
    if name.isdecimal():
        raise table.wrong("name", "must not be a number: it could be taken for a port")
    slot = {
        "name": name,
        "model": table.take("model", hostfile.text, None),
        "served_name": table.take("served_name", hostfile.text, name),
    }
    table.close()
    return slot
