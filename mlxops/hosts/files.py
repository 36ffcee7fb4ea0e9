"""Host files: find the one in use, and read it into a frozen value."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..agent.errors import Usage
from . import folders as hostfolders
from . import toml as hostfile
from .folders import Candidate, Folder
from .machine import read_machine
from .ownership import require_own
from .toml import Table

CONNECT_TIMEOUT_S = 10.0
MAX_WORD = 200
MAX_HINT_SLOTS = 4
NEW_HOST_FILE = "mlxops hosts add NAME, for the host that `ssh NAME` reaches"


@dataclass(frozen=True)
class Ssh:
    """How to connect to a host. None leaves the setting to ~/.ssh/config. `identities_only`: use
    no key of an ssh agent that is not a file of the settings."""

    host: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    identities_only: bool = False


@dataclass(frozen=True)
class CronLogin:
    """What cron's runs use instead of the same keys of [ssh]; None leaves them as they are."""

    user: str | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None


@dataclass(frozen=True)
class Host:
    """One host file. `site` describes the machine, as it is sent with each request.

    `named_folder`: the folder it was read from, if the user named one. `cron`: its [cron] table.
    `by_cron`: this is a run of cron's line."""

    name: str
    path: Path
    transport: str
    ssh: Ssh
    python: str | None
    site: dict[str, Any]
    named_folder: Path | None = None
    cron: CronLogin = CronLogin()
    by_cron: bool = False

    @property
    def slots(self) -> dict[str, int]:
        """The ports of the slots, by name."""
        return {slot["name"]: int(port) for port, slot in self.site["slots"].items()}

    def local(self) -> Host:
        """The same host, for commands that run on it."""
        return replace(self, transport="local")

    def for_cron(self) -> Host:
        """The same host, with the login of its [cron] table; as under cron, which has no ssh
        agent, its key is not replaced by one of an agent."""
        given = {key: value for key, value in asdict(self.cron).items() if value is not None}
        only = self.ssh.identities_only or self.cron.identity_file is not None
        login = replace(self.ssh, **given, identities_only=only)
        return replace(self, ssh=login, by_cron=True)

    def port(self, word: str) -> int:
        """The port with this number or slot name; Usage for any other word."""
        port = self.slots.get(word) or self.port_word(word)
        if isinstance(port, int):
            return port
        raise Usage(f"no port or slot {word!r} on {self.name}", self.ports_hint(word), port=word)

    def port_word(self, word: str) -> int | str:
        """The port for a number; another word unchanged, since only the registry on the host can
        resolve it."""
        if hostfile.number(word) in self.site["ports"]:
            return int(word)
        if word.strip() and not word.lstrip("-").isdecimal() and len(word) <= MAX_WORD:
            return word
        raise Usage(f"no port {word!r} on {self.name}"[:MAX_WORD], self.ports_hint(word), port=word)

    def ports_hint(self, word: str = "") -> str:
        """The ports that a number may have meant; else all ports, and the first slots."""
        near = [str(port) for port in self.site["ports"] if word and word in str(port)]
        if near and word.isdecimal():
            return f"did you mean {near[0] if len(near) == 1 else f'{near[0]} to {near[-1]}'}?"
        names = [*self.slots][:MAX_HINT_SLOTS]
        ports = self.site["ports"]
        spans = (
            f"{ports[0]}-{ports[-1]}"
            if len(ports) == ports[-1] - ports[0] + 1
            else ", ".join(map(str, ports[:8]))
        )
        more = ", ..." if len(self.slots) > MAX_HINT_SLOTS else ""
        return f"ports: {spans}" + (f"; slots: {', '.join(names)}{more}" if names else "")


def available(hosts_dir: str | None) -> dict[str, Candidate]:
    """The host files by name; the first folder wins."""
    candidates: dict[str, Candidate] = {}
    for candidate in hostfolders.candidates(hosts_dir):
        candidates.setdefault(candidate.name, candidate)
    return candidates


def find_host(name: str | None, hosts_dir: str | None) -> Host:
    """The host of this name, or the default host; Usage if there is none, or more than one."""
    return read_candidate(choose_host(name, hosts_dir).file)


def read_candidate(file: Candidate) -> Host:
    return replace(
        read_host(file.path), named_folder=file.folder.path if file.folder.named else None
    )


@dataclass(frozen=True)
class ChosenHost:
    """The file that `find_host` reads, and what selected it: a flag, a variable, a file, or that it
    is the only one."""

    file: Candidate
    source: str


def choose_host(name: str | None, hosts_dir: str | None) -> ChosenHost:
    """The host file to use; Usage if that is ambiguous."""
    candidates = available(hosts_dir)
    requested, source = _requested(name)
    if not candidates:
        raise _no_host_files(hosts_dir)
    if requested in candidates:
        return ChosenHost(candidates[requested], source)
    if requested:
        raise _unknown_host(requested, source, candidates)
    known = ", ".join(candidates)
    if len(candidates) > 1:
        text = "there is more than one host file"
        hint = f"choose one for good (mlxops hosts use NAME) or for now (--host NAME): {known}"
        raise Usage(text, hint, known=[*candidates])
    return ChosenHost(next(iter(candidates.values())), "the only host")


def choose_hosts(
    names: list[str] | None, hosts_dir: str | None, source: str = "--host"
) -> list[Candidate]:
    """The host files of these names, in this order, or all, sorted by name; Usage if there is
    none, or no host of such a name."""
    known = available(hosts_dir)
    if not known:
        raise _no_host_files(hosts_dir)
    if names is None:
        return [known[name] for name in sorted(known)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise _unknown_host(unknown[0], source, known)
    return [known[name] for name in names]


def _unknown_host(name: str, source: str, known: dict[str, Candidate]) -> Usage:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known hosts: {', '.join(known)}"
    return Usage(f"no host {name!r} (from {source})", hint, known=[*known])


def _no_host_files(hosts_dir: str | None) -> Usage:
    looked = (
        ", ".join(str(folder.path) for folder in hostfolders.folders(hosts_dir))
        or "no folder: HOME is not set"
    )
    missing = [folder for folder in hostfolders.folders(hosts_dir) if folder.named]
    gone = ", which does not exist" if missing and not missing[0].path.is_dir() else ""
    return Usage(f"no host file in {looked}{gone}", _way_to_a_host_file(missing), looked_in=looked)


def _way_to_a_host_file(named: list[Folder]) -> str:
    """The next command. `named`: the folder that the user named, which has no host file."""
    if hostfolders.ignored_files():
        return "./hosts is no longer searched; to use it: mlxops --hosts-dir hosts"
    if named:
        without = "env -u MLXOPS_HOSTS_DIR " if named[0].source == hostfolders.VARIABLE else ""
        return f"the usual folders: {without}mlxops hosts"
    return NEW_HOST_FILE


def _requested(name: str | None) -> tuple[str, str]:
    """The requested host and the source of the request; "" if there is none."""
    if name:
        return name, "--host"
    if os.environ.get("MLXOPS_HOST"):
        return os.environ["MLXOPS_HOST"], "MLXOPS_HOST"
    path = hostfolders.config_path()
    return (_configured(path), str(path)) if path and path.exists() else ("", "")


def _configured(path: Path) -> str:
    top = _trusted(path)
    host: str = top.take("host", hostfile.text, "")
    top.close()
    return host


def _trusted(path: Path) -> Table:
    """The TOML of a file that no other user can change; Usage otherwise."""
    try:
        require_own(path)
    except OSError as exc:
        raise Usage(
            f"{path}: {exc.strerror}", "check that the file exists and may be read", file=str(path)
        ) from None
    return hostfile.read(path)


def read_host(path: Path) -> Host:
    """The host that a file describes; Usage names file and key of the first error."""
    return _host(path, _trusted(path))


def parse_host(path: Path, text: str) -> Host:
    """The host that this text describes, before it is written to `path`."""
    return _host(path, hostfile.parse(path, text))


def _host(path: Path, top: Table) -> Host:
    transport = top.take("transport", hostfile.one_of("ssh", "local"), "ssh")
    ssh, cron = _ssh(top.table("ssh"), path.stem), _cron(top.table("cron"))
    python, site = read_machine(top, path.stem)
    top.close()
    return Host(
        name=path.stem,
        path=path,
        transport=transport,
        ssh=ssh,
        python=python,
        site=site,
        cron=cron,
    )


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


def _cron(table: Table) -> CronLogin:
    login = CronLogin(
        user=table.take("user", hostfile.ssh_word, None),
        identity_file=table.take("identity_file", hostfile.client_path, None),
        known_hosts_file=table.take("known_hosts_file", hostfile.client_path, None),
    )
    table.close()
    return login
