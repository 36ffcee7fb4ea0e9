"""The keys to offer and their order, after OpenSSH's pubkey_prepare()."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .knownhosts import decode_base64

MAGIC = b"openssh-key-v1\0"


@dataclass(frozen=True)
class Identity:
    """A private key file that exists. `public` is its public key in wire format, empty if
    unknown."""

    path: str
    public: bytes


@dataclass(frozen=True)
class Offer:
    """One login attempt: the agent's key at this index, or a key file."""

    agent_key: int | None
    path: str | None


def order_offers(files: Sequence[Identity], agent: Sequence[bytes], only: bool) -> list[Offer]:
    """The agent's keys that are configured, its other keys unless `only`, then the files that the
    agent does not hold."""
    configured = {identity.public: identity.path for identity in files if identity.public}
    listed = [Offer(i, configured[blob]) for i, blob in enumerate(agent) if blob in configured]
    others = (
        [] if only else [Offer(i, None) for i, blob in enumerate(agent) if blob not in configured]
    )
    paths = {offer.path for offer in listed}
    return (
        listed
        + others
        + [Offer(None, identity.path) for identity in files if identity.path not in paths]
    )


def find_identities(paths: Sequence[str]) -> list[Identity]:
    """The files that exist, each once."""
    identities = []
    for path in dict.fromkeys(paths):
        private = read_bytes(path)
        if private:
            identities.append(
                Identity(
                    path, public_key(read_bytes(path + ".pub")) or embedded_public_key(private)
                )
            )
        elif public_key(read_bytes(path + ".pub")):
            # Only an agent holds the private key.
            identities.append(Identity(path, public_key(read_bytes(path + ".pub"))))
    return identities


def read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def public_key(text: bytes) -> bytes:
    """The key in a .pub file."""
    words = text.split()
    return decode_base64(words[1]) if len(words) > 1 else b""


def embedded_public_key(private: bytes) -> bytes:
    """The public key in the unencrypted part of OpenSSH's private key format (PROTOCOL.key)."""
    lines = private.split(b"\n")
    body = decode_base64(b"".join(line for line in lines if not line.startswith(b"-----")))
    if not body.startswith(MAGIC):
        return b""
    at = len(MAGIC)
    for _ in range(3):  # cipher, kdf, kdf options
        at += 4 + uint32_at(body, at)
    return body[at + 8 : at + 8 + uint32_at(body, at + 4)]


def uint32_at(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 4], "big")
