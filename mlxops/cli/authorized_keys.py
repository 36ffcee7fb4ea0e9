"""Lines of OpenSSH's authorized_keys (sshd(8)): a public key and what it may do."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from ..agent.errors import Failed, Usage

KEY_TYPES = ("ssh-", "ecdsa-", "sk-")


def authorized_line(command: str, key: str | None) -> str:
    """The line that limits a key to one command; without a key, the start of the line."""
    # sshd unquotes only \", so a backslash before the closing quote would escape that quote.
    if command.endswith("\\") or not command.isprintable():
        raise Failed(f"authorized_keys cannot hold this command: {command!r}")
    quoted = command.replace('"', '\\"')
    return f'restrict,command="{quoted}" {key or ""}'.rstrip()


def read_public_key(path: str) -> str:
    """The only key of a .pub file, as `TYPE BASE64 COMMENT`; Usage if it holds anything else."""
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not a text file"
        raise Usage(
            f"cannot read {path}: {why}", "--key needs a public key file, such as ~/.ssh/cron.pub"
        ) from None
    keys = [one for one in map(str.strip, text.splitlines()) if one and not one.startswith("#")]
    if len(keys) != 1 or not is_key(keys[0]):
        raise Usage(f"{path} is not a public key file", "ssh-keygen -y -f PRIVATE_KEY > FILE.pub")
    return keys[0]


def is_key(text: str) -> bool:
    """Whether this is a plain public key of the type it claims: no options, no certificate."""
    kind, _, rest = text.partition(" ")
    blob = _decoded(rest.split(" ", 1)[0])
    plain = kind.startswith(KEY_TYPES) and "-cert-" not in kind and text.isprintable()
    return plain and blob.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def _decoded(word: str) -> bytes:
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return b""
