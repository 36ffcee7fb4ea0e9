"""The host file, as the agent receives it."""

from __future__ import annotations

import os
from typing import Any, Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple

from .errors import Usage
from .runtimes import table as runtimes
from .runtimes.table import Runtime, Runtimes


class KeySource(NamedTuple):
    """Where the host has the API key of a server: a variable of the login, or a file."""

    variable: str = ""
    file: str = ""

    @classmethod
    def from_wire(cls, table: Mapping[str, Any]) -> Optional[KeySource]:
        """The source that a table of the host file names, None if it names none."""
        variable, file = table.get("api_key_env") or "", table.get("api_key_file") or ""
        return cls(variable, os.path.expanduser(file)) if variable or file else None


class Slot(NamedTuple):
    """A planned port: the fixed name that clients use, and its planned model (`org/name`), if
    any."""

    port: int
    name: str
    model: Optional[str]
    served_name: str
    key: Optional[KeySource] = None


class HubSettings(NamedTuple):
    """The host file's [hub]. `endpoint` None: the login's; `token_file`: a path on the host."""

    endpoint: Optional[str] = None
    token_file: Optional[str] = None
    offline: bool = False

    @classmethod
    def from_wire(cls, hub: Mapping[str, Any]) -> HubSettings:
        token_file = hub.get("token_file")
        return cls(
            endpoint=hub.get("endpoint"),
            token_file=os.path.expanduser(token_file) if token_file else None,
            offline=bool(hub.get("offline")),
        )


class Site(NamedTuple):
    """Paths, ports and runtime settings of one host. Times in seconds. `raw`: as it was sent.
    `model_dirs`: folders of models outside of the Hub's cache."""

    name: str
    hf_home: str
    model_dirs: Tuple[str, ...]
    registry: str
    ports: Tuple[int, ...]
    bind: str
    state_dir: str
    hub_python: Optional[str]
    hub: HubSettings
    templates: Optional[str]
    runtime: str
    command: Optional[Tuple[str, ...]]
    commands: Mapping[str, Tuple[str, ...]]
    runtimes: Runtimes
    env: Mapping[str, str]
    startup_timeout_s: Optional[float]
    grace_s: float
    slots: Mapping[int, Slot]
    raw: Mapping[str, Any]

    @classmethod
    def from_wire(cls, site: Mapping[str, Any]) -> Site:
        runtime = site["runtime"]
        return cls(
            name=site["name"],
            hf_home=os.path.expanduser(site["hf_home"]),
            model_dirs=tuple(map(os.path.expanduser, site.get("model_dirs", ()))),
            registry=os.path.realpath(os.path.expanduser(site["registry"])),
            ports=tuple(site["ports"]),
            bind=site["bind"],
            state_dir=os.path.expanduser(site["state_dir"]),
            hub_python=site.get("hub_python"),
            hub=HubSettings.from_wire(site.get("hub") or {}),
            templates=os.path.expanduser(site["templates"]) if site.get("templates") else None,
            runtime=runtime["name"],
            command=tuple(runtime["command"]) if runtime.get("command") else None,
            commands={
                name: tuple(r["command"])
                for name, r in site.get("runtimes", {}).items()
                if r.get("command")
            },
            runtimes=runtimes.with_host_rows(site.get("runtimes", {})),
            env=runtime.get("env") or {},
            startup_timeout_s=runtime.get("startup_timeout_s"),
            grace_s=runtime["grace_s"],
            slots={
                int(port): _slot(int(port), slot) for port, slot in site.get("slots", {}).items()
            },
            raw=site,
        )

    def key_source(self, port: int, runtime: str) -> Optional[KeySource]:
        """Where the key of this runtime's server on the port is: the slot's source, else the
        runtime's, else that of all servers."""
        slot = self.slots[port].key if port in self.slots else None
        tables = (self.raw.get("runtimes", {}).get(runtime, {}), self.raw["runtime"])
        return slot or next(filter(None, map(KeySource.from_wire, tables)), None)

    def slot_name(self, port: int) -> Optional[str]:
        return self.slots[port].name if port in self.slots else None

    def declared_model(self, port: int) -> Optional[str]:
        return self.slots[port].model if port in self.slots else None

    @property
    def slot_names(self) -> FrozenSet[str]:
        """The names that stand for a port, in lower case."""
        return frozenset(slot.name.lower() for slot in self.slots.values())

    def served_name(self, port: int, fallback: str) -> str:
        """The model name of a server on this port: the slot's, so that clients do not notice a
        swap."""
        return self.slots[port].served_name if port in self.slots else fallback

    def runtime_named(self, name: Optional[str]) -> Runtime:
        """The runtime that an entry names; without one, the host's default."""
        return runtimes.require_runtime(name or self.runtime, self.runtimes)

    def require_port(self, port: int) -> int:
        if port not in self.ports:
            span = "%d-%d" % (min(self.ports), max(self.ports))
            raise Usage("no port '%s' on %s" % (port, self.name), "its ports: " + span, port=port)
        return port

    @property
    def cache_root(self) -> str:
        """The folder of downloads: the registry's, which every tool on the host scans."""
        return os.path.dirname(self.registry)

    @property
    def server_env(self) -> Dict[str, str]:
        """What a server's environment adds to the login's: the folders of models and the host
        file's variables, which win."""
        own: Dict[str, str] = {}
        if "HF_HOME" not in self.env:
            own["HF_HOME"] = self.hf_home
            if os.path.realpath(os.path.join(self.hf_home, "hub")) != os.path.realpath(
                self.cache_root
            ):
                own["HF_HUB_CACHE"] = self.cache_root
        return {**own, **self.env}

    @property
    def probe_address(self) -> str:
        """The loopback address for a wildcard bind, else the bind address itself."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.bind, self.bind)


def _slot(port: int, slot: Dict[str, Any]) -> Slot:
    return Slot(
        port=port,
        name=slot["name"],
        model=slot.get("model"),
        served_name=slot.get("served_name") or slot["name"],
        key=KeySource.from_wire(slot),
    )


def log_path(state_dir: str, name: object) -> str:
    """The log file of a port, or of a rank that serves another host's port."""
    return os.path.join(state_dir, "logs", "%s.log" % name)


def run_folder(state_dir: str, name: object) -> str:
    """The working directory of a port's server, or of a rank."""
    return os.path.join(state_dir, "run", str(name))
