"""Errors of a connection, from its facts to a message and the next command."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence

from ..agent.errors import HostKeyRefused, HostUnreachable, LoginRefused
from .knownhosts import HostKeyStatus, fingerprint
from .settings import Settings

KEY_KINDS = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}
HEADLINES = {
    "unknown": "the host key of {place} is not known",
    "changed": "THE HOST KEY OF {place} HAS CHANGED: "
    "someone may be intercepting the connection, or the host was reinstalled",
    "revoked": "the host key of {place} is marked as revoked",
}
MAX_QUOTE = 300
LOCKED_WORDS = ("system is locked", "unlock it", "filevault")


def host_key_error(
    settings: Settings, key_type: str, blob: bytes, verdict: HostKeyStatus
) -> HostKeyRefused:
    """The error for a host key that is not trusted, with its fingerprint and the commands that
    trust it."""
    shown = fingerprint(blob)
    where = f" ({verdict.line.file}, line {verdict.line.line})" if verdict.line else ""
    headline = HEADLINES[verdict.status].format(place=settings.address_label)
    message = f"{headline}{where}: {key_type} {shown}"
    if verdict.status == "revoked":
        hint = "do not connect; ask the person who revoked it"
    else:
        shows = f"ssh-keygen -lf /etc/ssh/ssh_host_{key_kind(key_type)}_key.pub"
        accept = accept_command(settings, verdict)
        hint = f"compare it with `{shows}` on the host; if it is the same, answer yes to: {accept}"
    facts = {"fingerprint": shown, "key_type": key_type, "verdict": verdict.status}
    return HostKeyRefused(message, hint, key=base64.b64encode(blob).decode(), **facts)


def key_kind(key_type: str) -> str:
    return KEY_KINDS.get(key_type, "ecdsa")


def accept_command(settings: Settings, verdict: HostKeyStatus) -> str:
    """The command that asks whether to add the key to known_hosts; it removes the one that the key
    replaces."""
    forget = ""
    if verdict.line:
        name, listed_in = shlex.quote(settings.key_names[0]), shlex.quote(verdict.line.file)
        forget = f"ssh-keygen -R {name} -f {listed_in} && "
    return f"{forget}{settings.command} true"


def login_error(
    settings: Settings,
    offered: Sequence[str],
    encrypted: Sequence[str],
    allowed: Sequence[str],
    banner: str,
) -> LoginRefused:
    """The error for a failed login: the disk is locked, a key needs its passphrase, there is no
    key, or the host rejected them."""
    who = f"{settings.user}@{settings.address_label}"
    facts = {
        "offered": list(offered),
        "encrypted": list(encrypted),
        "allowed": list(allowed),
        "banner": banner.strip(),
    }
    if any(word in banner.lower() for word in LOCKED_WORDS):
        hint = (
            f"unlock its disk: `{settings.command}` with the password of an account there, "
            "or at its screen"
        )
        message = (
            f"{settings.address_label} has restarted and is still locked (FileVault): "
            f"{banner.strip()}"
        )
        return LoginRefused(message, hint, cause="locked", **facts)
    if encrypted and not offered:
        message = f"{encrypted[0]} has a passphrase, and no ssh-agent holds it"
        hint = f"ssh-add {shlex.quote(encrypted[0])}"
        return LoginRefused(message, hint, cause="passphrase", **facts)
    if not offered:
        message = f"no key found to log in as {who}"
        hint = (
            f"`ssh -G {settings.alias}` lists the key files; "
            "ssh-keygen creates a key, ssh-copy-id installs it"
        )
        return LoginRefused(message, hint, cause="no key", **facts)
    methods = f"; it accepts {', '.join(allowed)}" if allowed and "publickey" not in allowed else ""
    message = f"{who} rejected the login with {', '.join(offered)}{methods}"
    asks = f"; {encrypted[0]} was not tried: it needs `ssh-add`" if encrypted else ""
    batch = settings.command.replace("ssh", "ssh -o BatchMode=yes", 1)
    hint = f"check that `{batch} true` works{asks}; `{copy_id_command(settings)}` installs a key"
    return LoginRefused(message, hint, cause="rejected", **facts)


def copy_id_command(settings: Settings) -> str:
    """The command that installs the host file's key for its user."""
    options = dict(zip(settings.options[::2], settings.options[1::2], strict=False))
    words = ["ssh-copy-id", *(["-i", options["-i"]] if "-i" in options else [])]
    words += ["-p", options["-p"]] if "-p" in options else []
    return shlex.join(
        [*words, f"{options['-l']}@{settings.alias}" if "-l" in options else settings.alias]
    )


def closed_early_error(settings: Settings, output: str, tries: int) -> HostUnreachable:
    """The error for a server that closed the connection before its SSH greeting."""
    where, words = settings.address_label, output.strip()[:MAX_QUOTE]
    count = f" ({tries} tries)" if tries > 1 else ""
    if "MaxStartups" in words:
        hint = (
            "too many logins at once: run it again, or raise MaxStartups in the host's sshd_config"
        )
    elif "Not allowed" in words:
        hint = (
            "too many failed logins from here (PerSourcePenalties in the host's sshd_config): "
            "wait a minute or more"
        )
    else:
        hint = "too many logins at once (MaxStartups), or the port is not SSH: "
        hint += f"`{settings.command.replace('ssh', 'ssh -v', 1)} true` shows how far it gets"
    message = f"{where} closed the connection before any login{count}" + (
        f": {words}" if words else ""
    )
    return HostUnreachable(message, hint, cause="turned away", said=words, tries=tries)


def opening_error(
    settings: Settings, exc: BaseException, silent: bool, kind: str
) -> HostUnreachable:
    """The error for a connection that the host accepted and that failed before the login."""
    where = settings.address_label
    shows = f"`{settings.command.replace('ssh', 'ssh -v', 1)} true` shows how far it gets"
    if kind == "IncompatiblePeer":
        return HostUnreachable(
            f"{where} and mlxops have no SSH algorithm in common: {exc}",
            "update the SSH server on the host",
            cause="algorithms",
        )
    if silent:
        message = f"{where} accepted the connection but did not answer as an SSH server: {exc}"
        return HostUnreachable(message, f"check that the port is SSH: {shows}", cause="banner")
    return HostUnreachable(
        f"the connection to {where} ended before the login: {str(exc) or kind}",
        shows,
        cause="opening",
    )
