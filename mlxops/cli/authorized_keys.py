"""Lines of OpenSSH's authorized_keys, as sshd(8) describes them: one public key and what it may
do."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from ..agent.errors import Failed, Usage

KEY_TYPES = ("ssh-", "ecdsa-", "sk-")


def authorized_line(command: str, key: str | None) -> str:
    """The line that lets a key run this one command and nothing else; without a key, its
    beginning."""
    # sshd unquotes \" and nothing else, so a backslash before the closing quote would swallow it.
    if command.endswith("\\") or not command.isprintable():
        raise Failed(f"no line of authorized_keys can hold this command: {command!r}")
    quoted = command.replace('"', '\\"')
    return f'restrict,command="{quoted}" {key or ""}'.rstrip()


def read_public_key(path: str) -> str:
    """The one key of a .pub file, as `TYPE BASE64 COMMENT`; Usage for anything else that may be in
    it."""
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "is no text"
        raise Usage(
            f"{path}: {why}", "name the file of a public key, such as ~/.ssh/cron.pub"
        ) from None
    keys = [one for one in map(str.strip, text.splitlines()) if one and not one.startswith("#")]
    if len(keys) != 1 or not is_key(keys[0]):
        raise Usage(
            f"{path} is not one public key", "ssh-keygen -y -f PRIVATE_KEY prints the public one"
        )
    return keys[0]


def is_key(text: str) -> bool:
    """Whether this is a plain public key: no options before it, no certificate, the type it claims
    to be."""
    kind, _, rest = text.partition(" ")
    blob = _decoded(rest.split(" ", 1)[0])
    plain = kind.startswith(KEY_TYPES) and "-cert-" not in kind and text.isprintable()
    return plain and blob.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def _decoded(word: str) -> bytes:
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return b""
