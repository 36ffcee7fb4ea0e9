"""A server that something restarts, one that hangs, one that leaves its parent, a second one on a
port: how each is reported, and what a stop leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.procs import local_procs
from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.patchedpython import patched_python
from tests.support.studio import Studio, eventually
from tests.support.survivors import living

QUIET: dict[str, Any] = {
    "stdout": subprocess.DEVNULL,
    "stderr": subprocess.DEVNULL,
    "stdin": subprocess.DEVNULL,
}
LEAK = """
import os, sys, time
if "--port" in sys.argv and os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(600)
"""
DAEMON = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
"""


@pytest.fixture
def studio_runtime(light: FakeRuntime) -> dict[str, Any]:
    return light.table(startup_timeout_s=20)


def words(studio: Studio, light: FakeRuntime, name: str, port: int) -> list[str]:
    return light.argv(studio.entry(name)["cache_path"], port)


def listener(port: int) -> int | None:
    return next((ln.pid for ln in local_procs().listeners([port])), None)


Run = Callable[..., int]


@pytest.fixture
def shell(one: Studio, light: FakeRuntime) -> Iterator[Run]:
    """Run a command whose server of amber listens on the first port; its pid. All of its processes
    are ended."""
    begun: list[subprocess.Popen[bytes]] = []

    def run(*argv: object, **popen: Any) -> int:
        begun.append(
            subprocess.Popen(list(map(str, argv)), start_new_session=True, **{**QUIET, **popen})
        )
        eventually(lambda: listener(one.ports[0]))
        return begun[-1].pid

    yield run
    for process in begun:
        for member in [p for p in local_procs().processes().values() if p.pgid == process.pid]:
            local_procs().send(member, signal.SIGKILL)
        process.wait()


def amber(one: Studio, light: FakeRuntime, text: str) -> str:
    """Shell text, with $SERVER for the command of amber on the first port."""
    return text.replace("$SERVER", " ".join(words(one, light, "amber", one.ports[0])))


@pytest.fixture
def loop(one: Studio, light: FakeRuntime, shell: Run) -> Callable[[str], int]:
    return lambda text: shell("bash", "-c", amber(one, light, text))


def test_a_loop_that_starts_the_server_again_is_told(
    one: Studio, loop: Callable[[str], int]
) -> None:
    port, pid = one.ports[0], loop("while true; do $SERVER; sleep 0.5; done")
    before = listener(port)
    refused = refusal(one, "load", model="jade", port=port, replace=True)
    assert (refused.kind, refused.exit_code, listener(port)) == ("Respawned", 7, before)
    assert f"pid {pid} (bash -c while true" in refused.message
    ask(one, "init")
    told = refusal(one, "unload", port=port)
    assert (told.kind, told.fields["parent"]) == (
        "Respawned",
        pid,
    ) and f"pid {pid} (bash -c" in told.message
    assert told.fields["pid"] not in (None, before) and one.assignments() == {"amber": port}


# Runs before the agent: a systemd that has the process of the file `main` in a service.
SYSTEMD = """
import os as _os, subprocess as _subprocess
def _unit(path, *rest, _open=_os.open, **more):
    return _open({cgroup!r} if str(path).endswith("/cgroup") else path, *rest, **more)
class _Popen(_subprocess.Popen):
    def __init__(self, argv, *rest, **more):
        argv = ["cat", {answer!r}] if argv[0] == "systemctl" else argv
        super().__init__(argv, *rest, **more)
_os.open, _subprocess.Popen = _unit, _Popen
"""


def test_a_service_that_starts_the_server_again_is_told_before_the_stop(
    one: Studio, loop: Callable[[str], int], tmp_path: Path
) -> None:
    cgroup, answer = tmp_path / "cgroup", tmp_path / "answer"
    patch = SYSTEMD.format(cgroup=str(cgroup), answer=str(answer))
    one.describe(python=patched_python(tmp_path / "python", sys.executable, patch))
    port, pid = one.ports[0], loop("$SERVER; true")
    before = listener(port)
    cgroup.write_text("0::/system.slice/mlx.service\n")
    answer.write_text(f"MainPID={pid}\nRestart=always\n")
    refused = refusal(one, "load", model="jade", port=port, replace=True)
    assert (refused.kind, refused.fields["unit"]) == ("Respawned", "mlx.service")
    assert refused.hint.startswith("on the host: systemctl stop mlx.service; ")
    assert listener(port) == before
    answer.write_text(f"MainPID={pid}\nRestart=no\n")
    assert ask(one, "load", model="jade", port=port, replace=True)["changed"]


@pytest.mark.slow
def test_a_loop_that_takes_its_time_is_told_too(one: Studio, loop: Callable[[str], int]) -> None:
    port, pid = one.ports[0], loop("while true; do $SERVER; sleep 600; done")
    ask(one, "init")
    told = refusal(one, "unload", port=port)
    assert (
        told.kind == "Respawned"
        and f"pid {pid}" in told.message
        and "may start it again" in told.message
    )
    assert one.assignments() == {} and listener(port) is None


@pytest.mark.slow
def test_a_script_that_ends_with_its_server_is_no_supervisor(
    one: Studio, loop: Callable[[str], int]
) -> None:
    loop("$SERVER; true")
    assert ask(one, "unload", port=one.ports[0])["state"] == "free"


FOR_EVER = "while true; do $SERVER; sleep 0.5; done"


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (FOR_EVER, ["bash", "sup.sh"]),
        (FOR_EVER, ["dash", "./sup.sh"]),
        ("set -u\ncd /\n" + FOR_EVER, ["bash", "-euo", "pipefail", "sub/../sup.sh"]),
        ("cd /\nuntil false\ndo $SERVER\ndone", ["sh", "sup.sh"]),
    ],
)
def test_a_loop_in_a_script_with_a_relative_name_is_told(
    one: Studio, light: FakeRuntime, shell: Run, tmp_path: Path, text: str, argv: list[str]
) -> None:
    """The path is relative to the shell's folder, and is found among the shell's open files if that
    has changed."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sup.sh").write_text(amber(one, light, text))
    pid, before = shell(*argv, cwd=tmp_path), listener(one.ports[0])
    refused = refusal(one, "load", model="jade", port=one.ports[0], replace=True)
    assert (refused.kind, refused.fields["parent"]) == ("Respawned", pid) and listener(
        one.ports[0]
    ) == before


@pytest.mark.parametrize("manner", ["fifo", "stdin", "substitution", "device"])
def test_a_script_that_is_no_file_is_never_waited_for(
    one: Studio, light: FakeRuntime, shell: Run, tmp_path: Path, manner: str
) -> None:
    """Opening a FIFO would block for ever, and /dev/stdin is another file in every process."""
    text, fifo = amber(one, light, "$SERVER; true"), tmp_path / "sup.fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDWR), "wb") as source:
        source.write(text.encode() + b"\n")
        source.flush()
        run = {
            "fifo": ["bash", fifo],
            "stdin": ["bash", "/dev/stdin"],
            "substitution": ["bash", "-c", 'exec bash <(printf %s "$1")', "-", text],
            "device": ["bash", "-c", 'exec bash /proc/self/fd/0 "$1"', "-", "x"],
        }[manner]
        shell(*run, stdin=source)
        before, began = listener(one.ports[0]), time.monotonic()
        planned = ask(one, "load", model="jade", port=one.ports[0], replace=True, dry_run=True)
        assert planned["state"] == "planned" and time.monotonic() - began < 15
    assert listener(one.ports[0]) == before
    agents = [line for line in living(one.state_dir).values() if "dry_run" in line]
    assert agents == []


@pytest.mark.slow
def test_a_word_that_only_looks_like_a_loop_is_none(
    one: Studio, light: FakeRuntime, loop: Callable[[str], int]
) -> None:
    loop("# for production, while it lasts\necho waiting for it; $SERVER; true")
    assert ask(one, "load", model="jade", port=one.ports[0], replace=True)["changed"]


@pytest.mark.slow
def test_a_stopped_server_is_told_replaced_and_unloaded_without_the_whole_grace(
    one: Studio,
) -> None:
    one.runtime["grace_s"] = 120
    one.describe()
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    first = one.entry("amber")["process"]["pid"]
    os.kill(first, signal.SIGSTOP)
    told = refusal(one, "load", model="amber", port=port)
    assert told.kind == "PortBusy" and "unresponsive" in told.message
    assert told.hint == f"mlxops restart {port}"
    began = time.monotonic()
    loaded = ask(one, "load", model="amber", port=port, replace=True)
    assert loaded["changed"] and loaded["restarted"] and time.monotonic() - began < 60
    second = one.entry("amber")["process"]["pid"]
    assert second != first and rows(one)[port]["state"] == "ready"
    os.kill(second, signal.SIGSTOP)
    began = time.monotonic()
    assert ask(one, "unload", port=port)["state"] == "free" and time.monotonic() - began < 60


@pytest.mark.slow
def test_replace_restarts_what_serves_already_and_brings_it_back_if_that_fails(
    one: Studio, light: FakeRuntime
) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    first = one.entry("amber")["process"]["pid"]
    again = ask(one, "load", model="amber", port=port)
    assert (again["changed"], again["restarted"]) == (False, False)
    again = ask(one, "load", model="amber", port=port, replace=True)
    second = one.entry("amber")["process"]["pid"]
    assert (again["changed"], again["restarted"]) == (True, True) and second != first
    shown = one.start("load", "amber", port, "--replace").communicate()[0]
    assert "restarted, ready" in shown
    shown = one.start("load", "amber", port).communicate()[0]
    assert f"(ready); mlxops restart {port} restarts it" in shown


def script(light: FakeRuntime, code: str) -> None:
    """The stand-in's program, with something before it."""
    lines = light.program.read_text().splitlines(keepends=True)
    indented = ["    " + line + "\n" for line in code.strip().splitlines()]
    light.program.write_text("".join([*lines[:-1], *indented, lines[-1]]))


def test_what_a_server_forked_away_goes_with_it(one: Studio, light: FakeRuntime) -> None:
    script(light, LEAK)
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    assert len([line for line in living(one.folder).values() if str(port) in line]) == 2
    assert rows(one)[port]["drift"] == "stray"
    assert ask(one, "unload", port=port)["state"] == "free"
    assert not any(str(port) in line for line in living(one.folder).values())


def test_a_server_that_moves_into_the_background_is_refused_and_the_old_one_comes_back(
    one: Studio, light: FakeRuntime
) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    plain = light.program.read_text()
    script(
        light,
        "if 'jade' in ' '.join(sys.argv):\n"
        + "\n".join("    " + x for x in DAEMON.strip().splitlines()),
    )
    failed = refusal(one, "load", model="jade", port=port, replace=True)
    light.program.write_text(plain)
    assert failed.kind == "NotReady" and "moved to the background" in failed.message
    assert "amber serves again" in failed.message and one.assignments() == {"amber": port}
    assert not any("jade" in line for line in living(one.folder).values())


def test_a_server_that_dies_in_its_first_answer_is_told_with_its_end(
    one: Studio, light: FakeRuntime
) -> None:
    light.program.write_text(
        light.program.read_text().replace(
            "import main\n",
            "import Answers, main\nimport os\n"
            "Answers._whole = Answers._stream = lambda self, request: os._exit(7)\n",
        )
    )
    failed = refusal(one, "load", model="amber", port=one.ports[0])
    assert failed.kind == "NotReady" and "ended with status 7" in failed.message, failed.message
    assert "the port is empty" in failed.message and one.assignments() == {}


@pytest.mark.slow
def test_a_second_server_of_a_port_is_shown_with_its_memory(
    one: Studio, light: FakeRuntime
) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    with subprocess.Popen(words(one, light, "jade", port), **QUIET) as second:
        try:
            eventually(lambda: rows(one)[port]["drift"] == "stray")
            row = rows(one)[port]
            assert (
                row["state"] == "ready"
                and f"pid {second.pid}" in row["reason"]
                and "GiB" in row["reason"]
            )
            assert [s["pid"] for s in row["strays"]] == [second.pid] and row["strays"][0][
                "rss_bytes"
            ] > 0
            assert [d["drift"] for d in ask(one, "reconcile")["drift"]] == ["stray"]
            assert ask(one, "load", model="amber", port=port)["changed"] is False
            done = ask(one, "unload", port=port)
            assert (done["state"], done["left"]) == (
                "starting",
                [second.pid],
            ) and second.poll() is None
            assert ask(one, "unload", port=port)["state"] == "free"
        finally:
            second.kill()
