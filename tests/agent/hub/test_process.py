"""The child that downloads: it ends when it is told to, and with the agent, however the agent
ends."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mlxops
from mlxops.agent.errors import Interrupted, NotDownloadable
from mlxops.agent.hub import download as fetch
from mlxops.agent.hub import partial_downloads
from mlxops.agent.hub import process as hubprocess
from mlxops.agent.models import cache as hfcache
from mlxops.agent.wire.codec import frame
from tests.support.fetching import LARGE_BYTES, REPO, Fetch
from tests.support.survivors import living

AGENT = """
import sys
from mlxops.agent.hub import download as fetch
python, repo, cache = sys.argv[1:]
remote = fetch.describe([python], repo, None, cache)
report = lambda done, total, file: print(done, flush=True)
fetch.download([python], remote, cache, report, lambda: False)
"""


def wait_until(true: Callable[[], object], within_s: float) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def children(tmp_path: Path) -> list[str]:
    """Command lines of the download processes of this test."""
    return [command for command in living(tmp_path).values() if "hub/child.py" in command]


def test_cancel_ends_the_child_at_once_and_the_next_download_completes(
    fetching: Fetch, tmp_path: Path
) -> None:
    fetching.hub.faults.rate = 8 << 20
    with pytest.raises(Interrupted):
        fetching.download(cancelled=fetching.under_way)
    assert children(tmp_path) == []
    assert not (fetching.repo / "refs" / "main").exists()
    fetching.hub.faults.rate = 0
    assert hfcache.inspect(str(fetching.download())).complete
    assert fetching.unfinished() == []


def test_cancel_is_quick(one_fetching: Fetch) -> None:
    one_fetching.hub.faults.rate = 1 << 20
    noticed: list[float] = []

    def cancelled() -> bool:
        if one_fetching.hub.sent > 1 << 18:
            noticed.append(time.monotonic())
        return bool(noticed)

    with pytest.raises(Interrupted):
        one_fetching.download(cancelled=cancelled)
    assert time.monotonic() - noticed[0] < 1


@pytest.mark.slow
def test_a_killed_agent_leaves_no_download_behind(fetching: Fetch, tmp_path: Path) -> None:
    # So slow that the child has nothing to write for a long time: a broken stdout must not be what
    # ends it.
    fetching.hub.faults.rate = 1 << 18
    environment = {**os.environ, "PYTHONPATH": str(Path(mlxops.__file__).parent.parent)}
    words = [sys.executable, "-c", AGENT, fetching.python[0], REPO, str(fetching.cache)]
    agent = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        wait_until(lambda: fetching.hub.sent > 1 << 18, 20)
        assert children(tmp_path)
    finally:
        agent.kill()
        agent.wait()
    wait_until(lambda: not children(tmp_path), 3)
    assert fetching.hub.sent < LARGE_BYTES
    fetching.hub.faults.rate = 0
    assert hfcache.inspect(str(fetching.download())).complete
    assert fetching.unfinished() == []


def test_the_token_is_in_no_argv_and_the_priority_is_low(
    one_fetching: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", one_fetching.hub.token)
    one_fetching.hub.gated.add(REPO)
    one_fetching.hub.faults.rate = 30 << 20
    seen: list[str] = []
    nice: set[str] = set()

    def watch() -> None:
        for pid, command in living(tmp_path).items():
            if "hub/child.py" in command:
                seen.append(command)
                shown = subprocess.run(
                    ["ps", "-o", "nice=", "-p", str(pid)], capture_output=True, text=True
                )
                nice.add(shown.stdout.strip())

    one_fetching.download(watch=watch)
    assert seen and not any(one_fetching.hub.token in command for command in seen)
    assert nice == {str(os.nice(0) + 10)}


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("echo the interpreter is broken >&2; exit 7", "status 7: the interpreter is broken"),
        ("echo nonsense", "invalid output"),
        ("echo '[1]'", "invalid output"),
        ("kill -9 $$", "status -9"),
    ],
)
def test_a_child_that_cannot_work_is_reported(one_fetching: Fetch, program: str, said: str) -> None:
    with pytest.raises(NotDownloadable, match=said):
        fetch.describe(("/bin/sh", "-c", program), REPO, None, str(one_fetching.cache))


def test_an_interpreter_that_is_not_there_is_reported(one_fetching: Fetch) -> None:
    with pytest.raises(NotDownloadable, match="cannot start"):
        fetch.describe(("/nowhere/python",), REPO, None, str(one_fetching.cache))


def test_the_childs_folder_does_not_hide_the_standard_library(tmp_path: Path) -> None:
    """The agent has a module `site`, as the standard library does."""
    (tmp_path / "site.py").write_text("raise SystemExit('the wrong site')")
    text = (
        b"import sys, site; print([place for place in sys.path if place in ('', sys.argv[1][:-9])])"
    )
    words = [sys.executable, "-c", hubprocess._LOADER, str(tmp_path / "child.py")]
    assert (
        subprocess.run(words, input=frame(text), capture_output=True, cwd=tmp_path).stdout
        == b"[]\n"
    )


def test_only_leftovers_that_nobody_writes_or_resumes_are_swept(tmp_path: Path) -> None:
    folder = hfcache.repo_folder(REPO)
    blobs, locks = tmp_path / folder / "blobs", tmp_path / ".locks" / folder
    for place in (blobs, locks):
        place.mkdir(parents=True)
    for name in ("aaa.12345678.incomplete", "bbb.12345678.incomplete", "ccc.incomplete", "ddd"):
        (blobs / name).touch()
    with open(locks / "bbb.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert partial_downloads.remove_abandoned(str(tmp_path), REPO) == 1
    assert sorted(path.name for path in blobs.iterdir()) == [
        "bbb.12345678.incomplete",
        "ccc.incomplete",
        "ddd",
    ]
    assert partial_downloads.remove_abandoned(str(tmp_path), REPO) == 1
    assert (
        partial_downloads.remove_abandoned(str(tmp_path / "absent"), REPO)
        == partial_downloads.remove_abandoned(str(tmp_path), "../x")
        == 0
    )
