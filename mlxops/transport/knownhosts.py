"""OpenSSH's known_hosts, read as sshd(8) describes it: pure, from text to a verdict on one key."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownKey:
    """One key of one line that names our host. `marker` is "", "@revoked" or "@cert-authority"."""

    type: str
    blob: bytes
    file: str
    line: int
    marker: str = ""


def keys_for(text: str, name: str, file: str = "") -> list[KnownKey]:
    """The keys listed for a name (`host`, or `[host]:port`); a line that makes no sense names
    nobody."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not pattern_matches(words[0], name):
            continue
        blob = decoded(words[2])
        if blob:
            found.append(KnownKey(type=words[1], blob=blob, file=file, line=number, marker=marker))
    return found


def decoded(word: str) -> bytes:
    """The bytes of a key in base64, or none when it is damaged."""
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return b""


def pattern_matches(patterns: str, name: str) -> bool:
    """Whether a line's first field means this name: hashed, with wildcards, or with a negation that
    excludes it."""
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
    # Square brackets are literal here: they belong to [host]:port.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def match_hash(pattern: str, name: str) -> bool:
    """HMAC-SHA1 of the name under the line's own salt, as HashKnownHosts writes it."""
    _, _, salt, digest = [*pattern.split("|"), "", "", ""][:4]
    return hmac.compare_digest(hmac.digest(decoded(salt), name.encode(), "sha1"), decoded(digest))


@dataclass(frozen=True)
class HostKeyStatus:
    """known: this key is listed; changed: others are; revoked: listed as such; unknown: the host is
    not listed."""

    status: str
    line: KnownKey | None = None


def check_host_key(known: Iterable[KnownKey], blob: bytes) -> HostKeyStatus:
    """The verdict on the key a server showed."""
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
    """As ssh prints it: SHA256, base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_keys(paths: Iterable[str], name: str) -> list[KnownKey]:
    """The keys all these files list for a name; a file that is not there lists none."""
    found: list[KnownKey] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found += keys_for(file.read(), name, path)
        except OSError:
            continue
    return found


def known_types(keys: list[KnownKey]) -> list[str]:
    """The algorithms to ask for first, so that the server shows the key that is known."""
    known = dict.fromkeys(key.type for key in keys if not key.marker)
    return [
        name
        for kind in known
        for name in (["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind])
    ]
