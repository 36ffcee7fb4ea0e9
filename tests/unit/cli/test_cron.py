"""mlxops cron install, show and remove, with a stand-in for crontab."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli_standin import Ended, Studio, lab
from tests.support.crontabs import Crontab

__all__ = ["lab"]
OTHERS = b"MAILTO=me\n0 5 * * * caf\xe9 # not UTF-8\n"


@pytest.fixture
def table(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Crontab:
    table = Crontab(lab / "bin")
    monkeypatch.setenv("PATH", f"{table.bin}:/usr/bin:/bin")
    return table


def cron(*words: str) -> Ended:
    return Ended(Studio(), "cron", *words)


def test_it_manages_one_line_and_leaves_all_others(table: Crontab) -> None:
    table.write(OTHERS)
    added = cron("install", "--every", "10", "--restart")
    assert (added.code, added.err) == (0, "")
    assert added.out.splitlines()[0] == "added the line for lab in the crontab"
    assert added.out.splitlines()[2].startswith('next: env -i HOME="$HOME"')
    content = table.content or b""
    assert content.startswith(OTHERS + b"*/10 * * * * ")
    assert content.endswith(b" --cron reconcile -q --check --restart # mlxops: lab\n")
    again = cron("install", "--every", "10", "--restart")
    assert (again.code, again.out) == (0, "The crontab has this line for lab already.\n")
    assert table.content == content
    shown = cron("show", "-q").out
    assert shown.encode() == content.removeprefix(OTHERS)
    changed = cron("install").out.splitlines()
    assert changed[0] == "changed the line for lab in the crontab"
    assert [line[:5] for line in changed[1:3]] == ["  - *", "  + *"]
    assert b"--restart" not in (table.content or b"")
    assert cron("remove").out.startswith("removed the line for lab")
    assert table.content == OTHERS
    assert cron("remove").out == cron("show").out.replace("; mlxops cron install adds it", "")


def test_a_dry_run_shows_the_diff_and_changes_nothing(table: Crontab) -> None:
    planned = cron("install", "--dry-run")
    assert planned.out.startswith("  + */5 * * * * ") and table.content is None
    cron("install")
    content = table.content
    assert cron("remove", "--dry-run").out.startswith("  - */5") and table.content == content
    assert cron("install", "--every", "15", "--dry-run", "--json").document["result"]["diff"]
    assert table.content == content


def test_an_empty_crontab_is_no_crontab_again(table: Crontab) -> None:
    cron("install")
    assert cron("remove").code == 0 and table.content is None


def test_the_command_reaches_the_shell_as_it_was_given(table: Crontab, lab: Path) -> None:
    notify = """printf '%s' "$(cat)" > 'a b'; true"""
    result = cron("install", "--notify", notify, "--metrics", "m.prom", "--json").document["result"]
    words = shlex.split(result["command"])
    assert words[-4:] == ["--notify", notify, "--metrics", str(lab / "m.prom")]
    assert rb"printf '\''\%s'\''" in (table.content or b"").replace(b'"', b"") or (
        b"\\%s" in (table.content or b"")
    )


def test_a_host_file_that_is_gone_leaves_a_line_that_can_be_removed(
    table: Crontab, lab: Path
) -> None:
    cron("install")
    (lab / "hosts/lab.toml").unlink()
    assert cron("remove").code == 2
    assert cron("remove", "--host", "lab").code == 0 and table.content is None


@pytest.mark.parametrize("minutes", ["7", "8", "25", "45", "59", "0", "61"])
def test_minutes_that_do_not_divide_an_hour_are_refused(table: Crontab, minutes: str) -> None:
    for words in ((), ("install",)):
        ended = cron(*words, "--every", minutes)
        assert ended.code == 2 and table.content is None
    if minutes == "7":
        assert "cron would run at :56 and again at :00; use 1, 2, 3" in ended.err


@pytest.mark.parametrize(
    ("notify", "message"),
    [("x" * 2000, "and cron takes 998"), ("a\nb", "cannot hold a newline"), (" ", "it is empty")],
)
def test_what_a_line_cannot_hold_is_refused(table: Crontab, notify: str, message: str) -> None:
    ended = cron("install", "--notify", notify)
    assert ended.code == 2 and message in ended.err and table.content is None


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            '#!/bin/sh\necho "You (me) are not allowed to use this program" >&2\nexit 1\n',
            "cannot read the crontab: You (me) are not allowed to use this program",
            "cron.allow",
        ),
        (
            '#!/bin/sh\n[ "$1" = -l ] && exit 0\necho "No space left on device" >&2; exit 1\n',
            "cannot write the crontab: No space left on device",
            "crontab -l",
        ),
        (
            '#!/bin/sh\n[ "$1" = -l ] && exit 0\ncat > /dev/null\n',
            "the crontab is not what was written",
            "crontab -l",
        ),
    ],
)
def test_a_crontab_that_is_refused(table: Crontab, source: str, message: str, hint: str) -> None:
    table.program.write_text(source)
    ended = cron("install")
    assert (ended.code, ended.out) == (1, "")
    assert message in ended.err and hint in ended.err


def test_a_machine_without_crontab(table: Crontab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(table.bin / "nothing"))
    ended = cron("install")
    assert ended.code == 1 and "no crontab program on PATH" in ended.err
    assert cron().code == 0


def test_the_line_is_a_command_that_runs(table: Crontab, lab: Path) -> None:
    """As cron starts it, up to the first thing that is not there."""
    command = cron("install", "--json").document["result"]["command"]
    env = {"HOME": str(lab / "home"), "PATH": "/usr/bin:/bin"}
    command = command.replace("reconcile", "hosts").replace(" --check", "")
    ended = subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "") and "lab" in ended.stdout
    assert sys.executable in command
