"""The steps towards a host that has no host file yet: ssh's settings, the host key, the login, and
what is installed there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .agent.errors import HostKeyRefused
from .hosts.files import Host, Ssh, parse_host
from .hosts.template import Draft, host_file_text
from .transport import knownhosts
from .transport.connect import open_socket
from .transport.settings import Settings, query_ssh


def provisional_host(draft: Draft, path: Path) -> Host:
    """The host of a draft, for calls before its file is written."""
    host = parse_host(path, host_file_text(draft))
    return replace(host, ssh=draft.ssh) if draft.ssh else host


def ssh_settings(ssh: Ssh) -> Settings:
    """What ssh would use; Usage or HostUnreachable if it cannot say."""
    return query_ssh(ssh)


def settings_text(settings: Settings) -> str:
    keys = [path for path in settings.identity_files if Path(path).exists()]
    key = f", key {', '.join(keys)}" if keys else ""
    return f"{settings.user}@{settings.hostname} port {settings.port}{key}"


def reach(settings: Settings) -> str:
    """Connect once and close; HostUnreachable says why that failed."""
    open_socket(settings).close()
    through = settings.proxy_jump or settings.proxy_command
    return f"{settings.address_label} answers" + (f" through {through}" if through else "")


def known_files(settings: Settings) -> list[str]:
    """The known_hosts files that list this host."""
    keys = [
        key
        for name in settings.key_names
        for key in knownhosts.read_keys(settings.known_hosts, name)
        if not key.marker
    ]
    return [*dict.fromkeys(key.file for key in keys)]


def trust(settings: Settings, refused: HostKeyRefused) -> None:
    """Add the key that was refused as unknown to the first known_hosts file."""
    file = (settings.known_hosts or (str(Path.home() / ".ssh/known_hosts"),))[0]
    fields = refused.fields
    knownhosts.append_key(file, settings.key_names[0], fields["key_type"], fields["key"])
