"""OpenSSH's known_hosts as described in sshd(8): from text to the status of a host key."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownKey:
    """A key listed for the host. `marker` is "", "@revoked" or "@cert-authority"."""

    type: str
    blob: bytes
    file: str
    line: int
    marker: str = ""


def keys_for(text: str, name: str, file: str = "") -> list[KnownKey]:
    """The keys listed for a name (`host` or `[host]:port`). Malformed lines are skipped."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not pattern_matches(words[0], name):
            continue
        blob = decode_base64(words[2])
        if blob:
            keys.append(KnownKey(type=words[1], blob=blob, file=file, line=number, marker=marker))
    return keys


def decode_base64(word: str | bytes) -> bytes:
    """The decoded bytes; b"" for invalid base64."""
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return b""


def pattern_matches(patterns: str, name: str) -> bool:
    """Whether a line's first field matches a name. It may be hashed, hold wildcards, or exclude
    names with "!"."""
    met = False
    for pattern in patterns.lower().split(",") if not patterns.startswith("|") else [patterns]:
        if pattern.startswith("|1|"):
            met = met or match_hash(pattern, name)
        elif pattern.startswith("!") and match_wildcard(pattern[1:], name):
            return False
        else:
            met = met or match_wildcard(pattern, name)
    return met


def match_wildcard(pattern: str, name: str) -> bool:
    # Square brackets are literal: they belong to [host]:port.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def match_hash(pattern: str, name: str) -> bool:
    """Whether a pattern of HashKnownHosts, an HMAC-SHA1 with its own salt, matches a name."""
    _, _, salt, digest = [*pattern.split("|"), "", "", ""][:4]
    computed = hmac.digest(decode_base64(salt), name.encode(), "sha1")
    return hmac.compare_digest(computed, decode_base64(digest))


@dataclass(frozen=True)
class HostKeyStatus:
    """`status`: "known" if the key is listed, "changed" if only other keys are, "revoked" if it is
    listed as such, "unknown" if the host is not listed."""

    status: str
    line: KnownKey | None = None


def check_host_key(known: Iterable[KnownKey], blob: bytes) -> HostKeyStatus:
    """The status of the key a server presented."""
    known = list(known)
    for key in known:
        if key.marker == "@revoked" and key.blob == blob:
            return HostKeyStatus("revoked", key)
    plain = [key for key in known if not key.marker]
    for key in plain:
        if key.blob == blob:
            return HostKeyStatus("known", key)
    return HostKeyStatus("changed", plain[0]) if plain else HostKeyStatus("unknown")


def fingerprint(blob: bytes) -> str:
    """The fingerprint as ssh prints it: SHA256, base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_keys(paths: Iterable[str], name: str) -> list[KnownKey]:
    """The keys these files list for a name. Missing files are skipped."""
    keys: list[KnownKey] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                keys += keys_for(file.read(), name, path)
        except OSError:
            continue
    return keys


def known_types(keys: list[KnownKey]) -> list[str]:
    """The algorithms to prefer, so that the server presents a key that is known."""
    known = dict.fromkeys(key.type for key in keys if not key.marker)
    return [
        name
        for kind in known
        for name in (["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind])
    ]


def append_key(path: str, name: str, key_type: str, key: str) -> None:
    """Add a line to a known_hosts file, which is created if there is none. `key`: in base64."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
        broken = end and file.read(1) != b"\n"
        line = f"{name} {key_type} {key}\n".encode()
        file.write(b"\n" + line if broken else line)
