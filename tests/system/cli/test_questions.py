"""Commands that stop several servers or remove an entry show what they would do, and ask, at a
terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import subprocess
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.asking import ask
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio, eventually, finished


@pytest.fixture
def one(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    made = make_studio(None, studio_runtime)
    init_copies.init(made)
    return made


@pytest.fixture
def by_hand(one: Studio) -> Iterator[subprocess.Popen[bytes]]:
    """A server that somebody started without mlxops, on the last port."""
    program, port = one.runtime["command"][0], one.ports[2]
    model = str(next(one.hub.glob("models--tiny--topaz/snapshots/*")))
    argv = [program, "launch", "--model-path", model, "--port", str(port), "--host", "127.0.0.1"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: ask(one, "status", ports=[port])["ports"][0]["state"] == "ready")
    yield process
    process.kill()
    process.wait()


def at_a_terminal(studio: Studio, typed: bytes, *words: object) -> tuple[int, str]:
    """The exit status and the text on the terminal. `typed` is sent when a question appears."""
    ours, theirs = pty.openpty()
    process = studio.start(
        *words,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown, left = b"", typed
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:
            break
        shown += chunk
        if left and b"[y/N]" in shown:
            os.write(ours, left)
            left = b""
    os.close(ours)
    return process.wait(60), shown.decode()


def alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "code"), [(b"n\n", 1), (b"\n", 1), (b"\x03", 130), (b"\x04", 130)]
)
def test_unload_all_changes_nothing_without_a_yes(
    one: Studio, by_hand: subprocess.Popen[bytes], typed: bytes, code: int
) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    ended, shown = at_a_terminal(one, typed, "unload-all")
    assert ended == code
    assert f"{one.ports[0]}  amber (pid " in shown
    apart = shown.partition("not in the registry")[2]
    assert f"{one.ports[2]}  pid {by_hand.pid}: " in apart and "--model-path" in apart
    assert "nothing was unloaded" in shown and "hint" not in shown
    assert alive(by_hand) and one.assignments() == {"amber": one.ports[0]}
    assert one.ask(one.ports[0]) == "I am tiny/amber"


def test_unload_all_stops_what_it_listed(one: Studio, by_hand: subprocess.Popen[bytes]) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    ended, shown = at_a_terminal(one, b"y\n", "unload-all")
    assert ended == 0 and "Stop these 2 servers?" in shown
    freed = f"{one.ports[2]} is free: pid {by_hand.pid}, which served tiny/topaz, was stopped (not"
    assert f"{freed} in the registry)" in " ".join(shown.split())
    assert not alive(by_hand) and one.assignments() == {}


def test_a_server_that_was_not_listed_is_not_stopped(
    one: Studio, by_hand: subprocess.Popen[bytes]
) -> None:
    rows = {row["port"]: row for row in ask(one, "unload-all", pids=[])["ports"]}
    assert rows[one.ports[2]]["error"]["kind"] == "PortBusy" and alive(by_hand)


def test_registered_leaves_what_no_entry_knows(
    one: Studio, by_hand: subprocess.Popen[bytes]
) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    ended, shown = at_a_terminal(one, b"y\n", "unload-all", "--registered")
    assert ended == 0 and "Stop this server?" in shown
    assert f"{one.ports[2]} skipped: pid {by_hand.pid} is not in the registry" in shown
    assert alive(by_hand) and one.assignments() == {}


def test_a_port_of_another_program_ends_a_dry_run_as_it_ends_the_run(one: Studio) -> None:
    first, _, last = one.ports
    one.must("load", "amber", first)
    with socket.create_server(("127.0.0.1", last)):
        assert one.mlxops("unload-all", "--dry-run").exit == 1
        left = one.must("unload-all", "--registered", "--dry-run")["ports"]
        assert [row["port"] for row in left if row["state"] == "left"] == [last]
        ran = one.mlxops("unload-all")
        assert ran.exit == 1 and ran.error["ports"] == [last] and one.assignments() == {}
        told = finished(one.start("unload-all", "--registered"))
        assert told.exit == 0
        assert told.stdout == f"{last} skipped: pid {os.getpid()} is not in the registry\n"


def test_registered_does_not_leave_an_entry_s_port_that_another_program_uses(one: Studio) -> None:
    first = one.ports[0]
    one.edit(lambda registry: registry["models"]["amber"].update(port=first))
    with socket.create_server(("127.0.0.1", first)):
        ran = one.mlxops("unload-all", "--registered")
    assert ran.exit == 1 and ran.error["ports"] == [first]


@pytest.mark.slow
def test_scripts_are_not_asked_and_stop_everything(
    one: Studio, by_hand: subprocess.Popen[bytes]
) -> None:
    rows = {row["port"]: row for row in one.must("unload-all")["ports"]}
    assert rows[one.ports[2]]["changed"] and not alive(by_hand)


@pytest.mark.slow
def test_yes_is_the_answer(one: Studio, by_hand: subprocess.Popen[bytes]) -> None:
    ended, shown = at_a_terminal(one, b"", "unload-all", "--yes")
    assert ended == 0 and "[y/N]" not in shown and not alive(by_hand)


def test_nothing_to_stop_is_no_question(one: Studio) -> None:
    ended, shown = at_a_terminal(one, b"", "unload-all")
    assert ended == 0 and "All ports were already free." in shown


@pytest.mark.slow
def test_unload_asks_about_what_it_would_stop(one: Studio) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    ended, shown = at_a_terminal(one, b"n\n", "unload", "amber", one.ports[1])
    assert ended == 1 and f"{one.ports[0]}  amber (pid " in shown
    assert "Stop this server? [y/N]" in shown and "nothing was unloaded" in shown
    assert one.assignments() == {"amber": one.ports[0]}
    ended, shown = at_a_terminal(one, b"y\n", "stop", one.slot(one.ports[0]))
    assert ended == 0 and f"{one.ports[0]} is free: amber was unloaded" in shown
    ended, shown = at_a_terminal(one, b"", "unload", one.ports[0])
    assert ended == 0 and f"{one.ports[0]} is already free" in shown


@pytest.mark.slow
def test_a_near_miss_is_asked_about(one: Studio) -> None:
    port = one.ports[0]
    ended, shown = at_a_terminal(one, b"n\n", "load", "ambr", port)
    assert ended == 1 and "Did you mean amber? [y/N]" in shown and one.assignments() == {}
    ended, shown = at_a_terminal(one, b"y\n", "load", "ambr", port)
    assert ended == 0 and one.assignments() == {"amber": port}


@pytest.mark.parametrize(("typed", "code"), [(b"n\n", 1), (b"\x03", 130), (b"y\n", 0)])
def test_remove_asks(one: Studio, typed: bytes, code: int) -> None:
    ended, shown = at_a_terminal(one, typed, "remove", "Tiny/Amber")
    assert ended == code and "Remove entry amber (tiny/amber) and its settings?" in shown
    assert ("amber" in one.registry()["models"]) == (code != 0)
    assert ("its files stay in" in shown) == (code == 0)


def test_a_swap_that_is_declined_is_no_error_with_advice(one: Studio) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    ended, shown = at_a_terminal(one, b"n\n", "load", "jade", one.ports[0])
    assert ended == 1 and "Stop it and load jade? [y/N]" in shown
    assert "not loaded: you answered no" in shown and "hint" not in shown
    assert one.ask(one.ports[0]) == "I am tiny/amber"
