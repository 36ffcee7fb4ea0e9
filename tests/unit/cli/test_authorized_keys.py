"""Lines of authorized_keys, read as sshd reads them; and files that do not hold a public key."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.errors import Failed, Usage
from mlxops.cli import authorized_keys
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f cron@mini"
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=' "\\'))


def unquoted(line: str) -> tuple[str, str]:
    """How sshd reads the line (opt_dequote in its auth-options.c): the command, and what follows
    it."""
    rest, command = line.removeprefix('restrict,command="'), ""
    while not rest.startswith('"'):
        rest = rest[1:] if rest.startswith('\\"') else rest
        command, rest = command + rest[0], rest[1:]
    return command, rest[1:]


@given(PRINTABLE.filter(lambda text: not text.endswith("\\")))
def test_sshd_reads_back_what_was_written(command: str) -> None:
    assert unquoted(authorized_keys.authorized_line(command, KEY)) == (command, " " + KEY)


@pytest.mark.parametrize("command", ["ends with a backslash\\", "two\nlines", "a\0b", "\ud800"])
def test_what_no_line_can_hold_is_refused(command: str) -> None:
    with pytest.raises(Failed):
        authorized_keys.authorized_line(command, KEY)


def test_without_a_key_it_is_the_beginning_of_a_line() -> None:
    assert authorized_keys.authorized_line("exec x", None) == 'restrict,command="exec x"'


@pytest.mark.openssh
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_real_public_keys(tmp_path: Path, kind: str) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)], check=True)
    public = Path(f"{key}.pub")
    assert authorized_keys.read_public_key(str(public)) == public.read_text().strip()
    with pytest.raises(Usage, match="is not a public key file"):
        authorized_keys.read_public_key(str(key))
    subprocess.run(["ssh-keygen", "-q", "-s", str(key), "-I", "x", str(public)], check=True)
    with pytest.raises(Usage, match="is not a public key file"):
        authorized_keys.read_public_key(f"{key}-cert.pub")


WRONG = [
    "",
    "hello",
    f"{KEY}\n{KEY}",
    f'command="/bin/sh" {KEY}',
    f"no-pty {KEY}",
    KEY.replace("ed25519", "rsa"),
    "ssh-ed25519",
    "ssh-ed25519 AAAA",
    "ssh-ed25519 ====",
    KEY + "\x1b[2J",
    f"{KEY}\r{KEY}",
]


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.pub").write_text(text)
    with pytest.raises(Usage):
        authorized_keys.read_public_key(str(tmp_path / "key.pub"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("absent.pub", "binary", "."):
        with pytest.raises(Usage, match=str(tmp_path)):
            authorized_keys.read_public_key(str(tmp_path / name))


ANSWER = {
    "verbs": ["status"],
    "command": 'exec "py" x',
    "folder": "/f",
    "changed": True,
    "warnings": ["look out"],
}


@pytest.mark.usefixtures("lab")
def test_the_verb_prints_the_line_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"# mine\n{KEY}\n\n")
    studio = Studio(ANSWER, ANSWER)
    ended = Ended(
        studio, "authorize", "--verbs", "status, list,", "--key", str(tmp_path / "key.pub")
    )
    assert ended.out == f'restrict,command="exec \\"py\\" x" {KEY}\n'
    assert "first one counts" in ended.err and "look out" in ended.err
    assert studio.asked == [
        ("authorize", {"verbs": ["status", "list"], "key": KEY, "dry_run": False})
    ]
    quiet = Ended(studio, "authorize", "-q", "--verbs", "status", "--json")
    assert quiet.document["result"]["line"] == 'restrict,command="exec \\"py\\" x"'
    assert "first one counts" not in quiet.err


@pytest.mark.usefixtures("lab")
def test_a_wrong_key_file_asks_the_host_nothing(tmp_path: Path) -> None:
    studio = Studio()
    ended = Ended(studio, "authorize", "--verbs", "status", "--key", str(tmp_path / "absent.pub"))
    assert ended.code == 2 and studio.asked == []
