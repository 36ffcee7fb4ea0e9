"""The settings ssh would use for a host, from `ssh -G`: no other reader of its config is
complete."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..agent.errors import HostUnreachable, Usage

if TYPE_CHECKING:
    from ..hosts.files import Ssh

QUERY_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Settings:
    """ssh's settings for one host, with paths and tokens expanded. `connect_timeout_s` applies to
    each address."""

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[str, ...]
    identities_only: bool
    identity_agent: str | None
    known_hosts: tuple[str, ...]
    host_key_alias: str | None
    proxy_jump: str | None
    proxy_command: str | None
    address_family: str
    connect_timeout_s: float
    options: tuple[str, ...] = ()
    """The host file's settings as options of ssh."""

    @property
    def command(self) -> str:
        """The ssh command that connects the same way, with the same user and key."""
        return shlex.join(["ssh", *self.options, self.alias])

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names under which known_hosts may list this host; as in ssh, a key listed without a
        port is valid for any port."""
        if self.host_key_alias:
            return (self.host_key_alias.lower(),)
        plain = self.hostname.lower()
        return (plain,) if self.port == 22 else (f"[{plain}]:{self.port}", plain)

    @property
    def address_label(self) -> str:
        """Host and port for messages."""
        where = self.hostname if self.hostname == self.alias else f"{self.alias} ({self.hostname})"
        return where if self.port == 22 else f"{where} port {self.port}"


def query_argv(ssh: Ssh) -> list[str]:
    """The command line that prints ssh's settings."""
    return ["ssh", "-G", *ssh_options(ssh), "--", ssh.host]


def ssh_options(ssh: Ssh) -> list[str]:
    """The host file's [ssh] table as options of ssh."""
    user = ["-l", ssh.user] if ssh.user else []
    port = ["-p", str(ssh.port)] if ssh.port else []
    return [
        *user,
        *port,
        *(["-i", os.path.expanduser(ssh.identity_file)] if ssh.identity_file else []),
        *(["-o", "IdentitiesOnly=yes"] if ssh.identities_only else []),
    ]


def query_ssh(ssh: Ssh) -> Settings:
    """The settings for a host; HostUnreachable without an ssh program, Usage if its configuration
    is invalid."""
    key = os.path.expanduser(ssh.identity_file or "")
    if key and not os.path.exists(key) and not os.path.exists(key + ".pub"):
        # ssh itself would silently use its default keys.
        raise Usage(f"identity_file {key} does not exist", "correct it in the host file")
    try:
        done = subprocess.run(
            query_argv(ssh), stdin=subprocess.DEVNULL, capture_output=True, timeout=QUERY_TIMEOUT_S
        )
    except FileNotFoundError:
        raise HostUnreachable(
            "no ssh program on PATH",
            "install OpenSSH's client, or add it to PATH (cron has PATH=/usr/bin:/bin)",
        ) from None
    except subprocess.TimeoutExpired:
        raise HostUnreachable(
            f"`ssh -G {ssh.host}` did not answer within {QUERY_TIMEOUT_S:.0f} s",
            "look for a slow Match exec in ~/.ssh/config",
        ) from None
    if done.returncode:
        stderr = done.stderr.decode("utf-8", "replace").strip()
        raise Usage(
            f"ssh cannot read its configuration: {stderr}",
            f"correct it until `ssh -G {ssh.host}` works",
        )
    return parse_settings(done.stdout.decode("utf-8", "replace"), ssh, os.environ)


def parse_settings(text: str, ssh: Ssh, env: Mapping[str, str]) -> Settings:
    """The settings in the output of `ssh -G`, combined with the host file's own."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key.lower(), []).append(value)
    expand = Expansion(ssh.host, {key: all_of[0] for key, all_of in values.items()}, env)
    return Settings(
        alias=ssh.host,
        hostname=expand.get("hostname", ssh.host),
        port=int(expand.get("port", "22")),
        user=expand.get("user", env.get("USER", "")),
        identity_files=tuple(
            expand.path(path) for path in values.get("identityfile", []) if path != "none"
        ),
        identities_only=expand.get("identitiesonly", "no") == "yes",
        identity_agent=expand.agent_socket(),
        known_hosts=_known_hosts(ssh, expand),
        host_key_alias=_not_none(expand.get("hostkeyalias", "none")),
        proxy_jump=_not_none(expand.get("proxyjump", "none")),
        proxy_command=_command(expand),
        address_family=expand.get("addressfamily", "any"),
        connect_timeout_s=_seconds(expand.get("connecttimeout", "none"), ssh.connect_timeout_s),
        options=(*ssh_options(ssh), *_known_option(ssh)),
    )


def _known_option(ssh: Ssh) -> list[str]:
    return ["-o", f"UserKnownHostsFile={ssh.known_hosts_file}"] if ssh.known_hosts_file else []


def _not_none(value: str) -> str | None:
    return None if value == "none" else value


def _seconds(value: str, default: float) -> float:
    return float(value) if value.isdecimal() and int(value) else default


def _command(expand: Expansion) -> str | None:
    command = _not_none(expand.get("proxycommand", "none"))
    return expand.tokens(command) if command else None


def _known_hosts(ssh: Ssh, expand: Expansion) -> tuple[str, ...]:
    own = ssh.known_hosts_file
    users = [os.path.expanduser(own)] if own else expand.paths("userknownhostsfile")
    return (*users, *expand.paths("globalknownhostsfile"))


class Expansion:
    """Expands what `ssh -G` does not: ~, ${VARIABLES} and percent tokens (ssh_config(5),
    TOKENS)."""

    def __init__(self, alias: str, values: Mapping[str, str], env: Mapping[str, str]) -> None:
        self._values = values
        self._env = env
        nodename = os.uname().nodename
        self._tokens = {
            "%": "%",
            "d": self._home(),
            "i": str(os.getuid()),
            "L": nodename.split(".")[0],
            "l": nodename,
            "n": alias,
            "h": values.get("hostname", alias),
            "p": values.get("port", "22"),
            "r": values.get("user", ""),
            "u": env.get("USER", ""),
            "j": values.get("proxyjump", ""),
            "k": values.get("hostkeyalias", values.get("hostname", alias)),
        }

    def _home(self) -> str:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_dir

    def get(self, key: str, default: str) -> str:
        return self._values.get(key, default)

    def tokens(self, text: str) -> str:
        """The text with its percent tokens expanded; unknown ones stay."""
        head, *rest = text.split("%")
        done, literal = head, False
        for piece in rest:
            if literal:
                done, literal = done + piece, False
            elif not piece:
                done, literal = done + "%", True
            else:
                done += self._tokens.get(piece[0], "%" + piece[0]) + piece[1:]
        return done

    def path(self, text: str) -> str:
        if text.startswith("~/"):
            text = self._home() + text[1:]
        for name, value in self._env.items() if "${" in text else ():
            text = text.replace("${" + name + "}", value)
        return os.path.expanduser(self.tokens(text))

    def paths(self, key: str) -> list[str]:
        """The files of a list, which `ssh -G` prints unquoted: one name with spaces if that file
        exists, else several."""
        whole = self.path(self.get(key, ""))
        if " " in whole and os.path.exists(whole):
            return [whole]
        return [self.path(word) for word in self.get(key, "").split() if word != "none"]

    def agent_socket(self) -> str | None:
        """The socket of the ssh-agent, if any."""
        where = self.get("identityagent", "SSH_AUTH_SOCK")
        if where == "none":
            return None
        if where == "SSH_AUTH_SOCK":
            return self._env.get("SSH_AUTH_SOCK") or None
        return (
            self._env.get(where[1:])
            if where.startswith("$") and "{" not in where
            else self.path(where)
        )
