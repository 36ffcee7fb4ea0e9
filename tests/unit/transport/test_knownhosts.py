"""known_hosts, read as OpenSSH reads it; ssh-keygen writes the hashed lines."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from mlxops.transport.knownhosts import check_host_key, fingerprint, keys_for, pattern_matches

KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"k" * 36).decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"o" * 36).decode()
BLOB = base64.b64decode(KEY)


@pytest.mark.parametrize(
    ("patterns", "name", "met"),
    [
        ("studio", "studio", True),
        ("Studio", "studio", True),
        ("studio,10.0.0.2", "10.0.0.2", True),
        ("*.local", "studio.local", True),
        ("*.local,!studio.local", "studio.local", False),
        ("!studio.local,*.local", "studio.local", False),
        ("stud?o", "studio", True),
        ("[studio]:2222", "[studio]:2222", True),
        ("[studio]:*", "[studio]:2222", True),
        ("[studio]:2222", "studio", False),
        ("studio", "[studio]:2222", False),
        ("[s]tudio", "studio", False),
        ("|1|broken", "studio", False),
        ("|1|AAAA|AAAA", "studio", False),
        ("", "studio", False),
    ],
)
def test_patterns(patterns: str, name: str, met: bool) -> None:
    assert pattern_matches(patterns, name) is met


@pytest.mark.openssh
@pytest.mark.parametrize("name", ["studio", "[studio]:2222"])
def test_hashed_by_openssh_itself(tmp_path: Path, name: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{name} ssh-ed25519 {KEY}\n")
    real = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(real)], check=True)
    file.write_text(f"{name} {' '.join((tmp_path / 'key.pub').read_text().split()[:2])}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    text = file.read_text()
    assert name not in text
    (key,) = keys_for(text, name)
    said = subprocess.run(
        ["ssh-keygen", "-lf", str(real)], capture_output=True, text=True, check=True
    ).stdout
    assert fingerprint(key.blob) in said
    assert keys_for(text, "elsewhere") == []


def test_lines_that_make_no_sense_name_nobody() -> None:
    nonsense = (
        f"# studio ssh-ed25519 {KEY}\n\nstudio\nstudio ssh-ed25519 !!!\n@cert-authority studio\n"
    )
    text = f"{nonsense}studio ssh-ed25519 {KEY}\n"
    assert [key.line for key in keys_for(text, "studio")] == [6]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (f"studio ssh-ed25519 {KEY}", "known"),
        (f"studio ssh-ed25519 {OTHER}\nstudio ssh-ed25519 {KEY}", "known"),
        (f"studio ssh-ed25519 {OTHER}", "changed"),
        (f"elsewhere ssh-ed25519 {KEY}", "unknown"),
        ("", "unknown"),
        (f"@cert-authority studio ssh-ed25519 {KEY}", "unknown"),
        (f"@revoked studio ssh-ed25519 {KEY}\nstudio ssh-ed25519 {KEY}", "revoked"),
        (f"studio ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {KEY}", "revoked"),
        (f"studio ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {OTHER}", "known"),
        (f"studio ssh-ed25519 {KEY} a comment of several words", "known"),
    ],
)
def test_verdicts(text: str, word: str) -> None:
    assert check_host_key(keys_for(text, "studio"), BLOB).status == word
