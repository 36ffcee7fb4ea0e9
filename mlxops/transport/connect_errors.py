"""What to tell a person when a host does not let us in: pure, from facts to errors with the next
command to run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..agent.errors import HostKeyRefused, HostUnreachable, LoginRefused
from .knownhosts import HostKeyStatus, fingerprint
from .settings import Settings

KEYSCAN_TYPES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}
HEADLINES = {
    "unknown": "the host key of {place} is not known",
    "changed": "THE HOST KEY OF {place} HAS CHANGED: somebody may be listening in, or the host was set up anew",
    "revoked": "the host key of {place} is marked as revoked",
}
MAX_QUOTE = 300
LOCKED_WORDS = ("system is locked", "unlock it", "filevault")


def host_key_error(
    settings: Settings, key_type: str, blob: bytes, verdict: HostKeyStatus
) -> HostKeyRefused:
    """Refusal of a host key, with its fingerprint and the commands that trust it."""
    shown = fingerprint(blob)
    where = f" ({verdict.line.file}, line {verdict.line.line})" if verdict.line else ""
    message = f"{HEADLINES[verdict.status].format(place=settings.address_label)}{where}: {key_type} {shown}"
    check = (
        f"compare it on the host: ssh-keygen -lf /etc/ssh/ssh_host_{scan_type(key_type)}_key.pub"
    )
    if verdict.status == "revoked":
        hint = "do not connect; ask whoever revoked it"
    else:
        hint = f"{check} ; if it is the same, trust it with: {trust_command(settings, key_type, verdict)}"
    return HostKeyRefused(
        message, hint, fingerprint=shown, key_type=key_type, verdict=verdict.status
    )


def scan_type(key_type: str) -> str:
    return KEYSCAN_TYPES.get(key_type, "ecdsa")


def trust_command(settings: Settings, key_type: str, verdict: HostKeyStatus) -> str:
    """The command line that makes this key known, after forgetting the one it replaces."""
    file = settings.known_hosts[0] if settings.known_hosts else "~/.ssh/known_hosts"
    forget = ""
    if verdict.line:
        forget = f"ssh-keygen -R {shlex.quote(settings.key_names[0])} -f {shlex.quote(verdict.line.file)} && "
    if settings.host_key_alias or settings.proxy_jump or settings.proxy_command:
        # ssh-keyscan knows neither aliases nor proxies.
        asking = f"-o StrictHostKeyChecking=ask -o UserKnownHostsFile={shlex.quote(file)}"
        return f"{forget}ssh {asking} {settings.alias} true"
    port = "" if settings.port == 22 else f"-p {settings.port} "
    scan = f"ssh-keyscan -t {scan_type(key_type)} {port}{shlex.quote(settings.hostname)}"
    return f"{forget}{scan} >> {shlex.quote(file)}"


def login_error(
    settings: Settings,
    offered: Sequence[str],
    encrypted: Sequence[str],
    allowed: Sequence[str],
    banner: str,
) -> LoginRefused:
    """Refusal of a login: locked, needing a passphrase, or rejected, whichever the host and the
    keys say."""
    who = f"{settings.user}@{settings.address_label}"
    facts = {
        "offered": list(offered),
        "encrypted": list(encrypted),
        "allowed": list(allowed),
        "banner": banner.strip(),
    }
    if any(word in banner.lower() for word in LOCKED_WORDS):
        hint = f"unlock its disk: `{settings.command}` with the password of an account there, or at its screen"
        message = f"{settings.address_label} has restarted and is still locked (FileVault): {banner.strip()}"
        return LoginRefused(message, hint, cause="locked", **facts)
    if encrypted and not offered:
        message = f"{encrypted[0]} is protected by a passphrase, and no ssh-agent holds it"
        hint = f"run `ssh-add {shlex.quote(encrypted[0])}` and try again"
        return LoginRefused(message, hint, cause="passphrase", **facts)
    if not offered:
        message = f"there is no key to log in as {who} with"
        hint = f"`ssh -G {settings.alias}` lists the files looked for; ssh-keygen makes one, ssh-copy-id installs it"
        return LoginRefused(message, hint, cause="no key", **facts)
    methods = (
        f"; it would take {', '.join(allowed)}" if allowed and "publickey" not in allowed else ""
    )
    message = f"{who} rejected the login with {', '.join(offered)}{methods}"
    asks = f"; {encrypted[0]} was not tried: it needs `ssh-add`" if encrypted else ""
    batch = settings.command.replace("ssh", "ssh -o BatchMode=yes", 1)
    hint = f"see whether `{batch} true` works{asks}; `{copy_id_command(settings)}` installs a key"
    return LoginRefused(message, hint, cause="rejected", **facts)


def copy_id_command(settings: Settings) -> str:
    """The command that installs the key which the host file names, for the user it names."""
    given = dict(zip(settings.options[::2], settings.options[1::2], strict=False))
    words = ["ssh-copy-id", *(["-i", given["-i"]] if "-i" in given else [])]
    words += ["-p", given["-p"]] if "-p" in given else []
    return shlex.join(
        [*words, f"{given['-l']}@{settings.alias}" if "-l" in given else settings.alias]
    )


def closed_early_error(settings: Settings, said: str, tries: int) -> HostUnreachable:
    """The server closed the connection before its greeting, with or without a word."""
    where, words = settings.address_label, said.strip()[:MAX_QUOTE]
    count = f" ({tries} tries)" if tries > 1 else ""
    if "MaxStartups" in words:
        hint = (
            "too many logins at once: run it again, or raise MaxStartups in the host's sshd_config"
        )
    elif "Not allowed" in words:
        hint = "too many failed logins from here (PerSourcePenalties of its sshd_config): wait a minute or more"
    else:
        hint = "too many logins at once (MaxStartups), or is that port not SSH? "
        hint += f"`{settings.command.replace('ssh', 'ssh -v', 1)} true` shows how far it gets"
    message = f"{where} closed the connection before any login{count}" + (
        f": {words}" if words else ""
    )
    return HostUnreachable(message, hint, cause="turned away", said=words, tries=tries)


def opening_error(
    settings: Settings, exc: BaseException, silent: bool, kind: str
) -> HostUnreachable:
    """A connection that was taken and then came to nothing."""
    where = settings.address_label
    shows = f"`{settings.command.replace('ssh', 'ssh -v', 1)} true` shows how far it gets"
    if kind == "IncompatiblePeer":
        return HostUnreachable(
            f"{where} and this program have no SSH algorithm in common: {exc}",
            "update the SSH server on the host",
            cause="algorithms",
        )
    if silent:
        message = f"{where} accepted the connection but did not answer as an SSH server: {exc}"
        return HostUnreachable(message, f"is that port really SSH? {shows}", cause="banner")
    return HostUnreachable(
        f"the connection to {where} ended while it was opened: {str(exc) or kind}",
        shows,
        cause="opening",
    )
