"""The crontab line, managed by the real crontab and run by a real cron daemon: bare environment, no
terminal, over SSH."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.studio import Studio, eventually

pytestmark = [pytest.mark.cron, pytest.mark.slow]

SYSTEM_PATH = os.pathsep.join(["/usr/sbin", "/sbin", os.environ.get("PATH", "")])
FIRES_WITHIN_S = 90


@contextmanager
def crontab(text: str) -> Iterator[None]:
    """Replaces this user's crontab, and restores it."""
    before = subprocess.run(["crontab", "-l"], capture_output=True, text=True)
    subprocess.run(["crontab", "-"], input=text, text=True, check=True)
    try:
        yield
    finally:
        if before.returncode == 0:
            subprocess.run(["crontab", "-"], input=before.stdout, text=True, check=True)
        else:
            subprocess.run(["crontab", "-r"], check=True)


@contextmanager
def daemon() -> Iterator[None]:
    """A cron daemon of the test's own, unless one runs already: only one can run."""
    program = shutil.which("cron", path=SYSTEM_PATH)
    assert program
    process = subprocess.Popen(
        [program, "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield
    finally:
        ours = process.poll() is None
        process.terminate()
        told = process.communicate(timeout=30)[1]
        assert ours or "lock" in told, told


def recorded(studio: Studio, line: str) -> str:
    """A crontab with the line twice in one minute's job; output, exit status and environment are
    kept. crontab takes no more than 1,000 characters."""
    minutes, command = line.split(" * * * * ")
    job = (
        f"env > $OUT/env; {command} > $OUT/first 2>&1; echo $? > $OUT/exits; "
        f"{command} > $OUT/second 2>&1; echo $? >> $OUT/exits; touch $OUT/done"
    )
    settings = f'HOME={studio.folder}/cron-home\nOUT={studio.folder}\nMAILTO=""\n'
    return f"{settings}{minutes} * * * * {job}\n"


@pytest.fixture
def stale(studio: Studio) -> Callable[[], None]:
    """Makes the registry claim a port that nothing serves."""
    studio.must("init")
    port = studio.ports[0]

    def claim() -> None:
        studio.edit(lambda registry: registry["models"]["amber"].update(port=port))

    return claim


def test_cron_reconciles_over_ssh_and_speaks_only_of_changes(
    studio: Studio, stale: Callable[[], None]
) -> None:
    stale()
    assert studio.assignments() == {"amber": studio.ports[0]}
    line = studio.must("cron", "--every", "1")["line"]
    with crontab(recorded(studio, line)), daemon():
        eventually((studio.folder / "done").exists, FIRES_WITHIN_S)
    told = {
        name: (studio.folder / name).read_text() for name in ("first", "second", "exits", "env")
    }
    assert "PATH=/usr/bin:/bin\n" in told["env"]
    assert "SSH_AUTH_SOCK" not in told["env"]
    assert told["exits"] == "11\n11\n", told
    assert len(told["first"].splitlines()) == 1, told
    assert f"freed {studio.ports[0]} (amber)" in told["first"]
    assert f"mlxops load amber {studio.ports[0]}" in told["first"]
    assert told["second"] == ""
    assert studio.assignments() == {}
    folder = studio.folder / "cron-home" / ".local/state/mlxops"
    kept = list(folder.glob("reconcile-*"))
    assert all(path.name.startswith("reconcile-studio-") for path in kept)
    assert sorted(path.name.split(".", 1)[1] for path in kept) == ["lock", "told.json"]


OTHERS = b'MAILTO=""\n# caf\xe9\n 0 5 * * 1 true   # mlxops: another\n'


@pytest.fixture
def own_crontab() -> Iterator[Callable[[], bytes]]:
    """A crontab with lines of others; returns a function that reads it."""
    with crontab(""):
        subprocess.run(["crontab", "-"], input=OTHERS, check=True)
        yield lambda: subprocess.run(["crontab", "-l"], capture_output=True).stdout


def test_the_real_crontab_keeps_every_other_line(
    studio: Studio, own_crontab: Callable[[], bytes]
) -> None:
    earlier = b"*/5 * * * * /opt/bin/mlxops --host studio reconcile -q\n"
    subprocess.run(["crontab", "-"], input=earlier + OTHERS, check=True)
    assert studio.must("cron", "install", "--dry-run")["diff"] and own_crontab() == earlier + OTHERS
    notify = "printf '%s' \"$MLXOPS_SUMMARY\" > /dev/null"
    for changed in (True, False):
        result = studio.must("cron", "install", "--every", "10", "--notify", notify)
        assert result["changed"] is changed
        line, rest = own_crontab().split(b"\n", 1)
        assert rest == OTHERS and line.startswith(b"*/10 * * * * ")
        assert line.endswith(b" # mlxops: studio") and b"\\%s" in line
    assert studio.must("cron", "show")["lines"] == [line.decode()]
    assert studio.must("cron", "remove")["changed"] is True and own_crontab() == OTHERS


def test_an_installed_line_notifies_and_writes_metrics(
    studio: Studio, stale: Callable[[], None]
) -> None:
    stale()
    sent, metrics = studio.folder / "sent", studio.folder / "studio.prom"
    notify = f'date +%s > {studio.folder}/at; cat >> {sent}; echo "$MLXOPS_EXIT" >> {sent}'
    more = ("--notify", notify, "--metrics", str(metrics))
    with crontab(f"HOME={studio.folder}/cron-home\n"):
        studio.must("cron", "install", "--every", "1", *more)
        with daemon():
            eventually(sent.exists, FIRES_WITHIN_S)
            eventually(lambda: sent.read_text().endswith("11\n"))
    lines = sent.read_text().splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"freed {studio.ports[0]} (amber)"), lines
    assert 'mlxops_drift{host="studio",kind="lost"} 1' in metrics.read_text()
    assert metrics.stat().st_mode & 0o777 == 0o644
    assert (studio.folder / "at").read_text().strip().isdecimal()
