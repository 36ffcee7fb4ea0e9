"""The live view in a terminal: what it shows, how it follows changes, its keys, and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.support.cutlink import CutLink
from tests.support.fakeruntime import FakeRuntime
from tests.support.screen import Screen
from tests.support.studio import Studio, eventually

pytestmark = pytest.mark.slow
WATCH = ("status", "--watch", "--interval", "0.3")
Open = Callable[..., Screen]


@pytest.fixture
def served(one: Studio) -> Studio:
    """A local Studio that serves amber on its first port."""
    one.must("load", "amber", one.ports[0])
    return one


@pytest.fixture
def opened() -> Iterator[Open]:
    screens: list[Screen] = []

    def open_screen(studio: Studio, *words: object, **more: object) -> Screen:
        screens.append(Screen(studio, *(words or WATCH), **more))  # type: ignore[arg-type]
        return screens[-1]

    yield open_screen
    for screen in screens:
        screen.close()


def line_of(screen: Screen, port: int) -> str:
    return next(line for line in screen.lines if line[2:].startswith(str(port)))


def test_it_shows_what_is_there_and_follows_each_change(served: Studio, opened: Open) -> None:
    first, second, _ = served.ports
    screen = opened(served)
    screen.until("updated 0 s ago", "memory [", "amber", "ready", "load amber")
    assert line_of(screen, first).startswith("> ")
    served.must("load", "jade", second)
    screen.until("jade", f"load jade {second}")
    os.kill(served.entry("jade")["process"]["pid"], signal.SIGSTOP)
    screen.until("unresponsive", "answer HTTP: pid", f"next: mlxops restart {second}")
    os.kill(served.entry("jade")["process"]["pid"], signal.SIGCONT)
    screen.gone("unresponsive")
    served.must("unload", second)
    screen.when(lambda: "free" in line_of(screen, second))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
def test_it_fits_and_follows_the_size_of_the_terminal(
    served: Studio, opened: Open, size: tuple[int, int]
) -> None:
    screen = opened(served, size=size)
    screen.until("q quit", "ready")
    assert screen.lines[-1].startswith("l logs") and len(screen.lines) == size[1]
    screen.resize(60, 12)
    screen.until("updated", "ready")
    screen.when(lambda: screen.lines[-1].startswith("l logs") and len(screen.lines) == 12)
    screen.resize(*size)
    screen.when(lambda: screen.lines[-1].startswith("l logs") and "q quit" in screen.lines[-1])


def test_colours_only_where_they_are_wanted(served: Studio, opened: Open) -> None:
    coloured, plain = opened(served), opened(served, NO_COLOR="1")
    for screen in (coloured, plain):
        screen.until("ready")
    assert coloured.colour("ready") == "green" and plain.colour("ready") == "default"


@pytest.mark.parametrize(
    ("leave", "status"), [("q", 0), ("\x1b", 0), ("\x03", 130), (signal.SIGTERM, 130)]
)
def test_however_it_ends_the_terminal_is_as_before(
    served: Studio, opened: Open, leave: str | signal.Signals, status: int
) -> None:
    screen = opened(served, TERM="xterm")
    screen.until("ready")
    assert b"\x1b[?1049h" in screen.raw and not screen.sane
    if isinstance(leave, str):
        screen.type(leave)
        assert screen.end() == status
    else:
        assert screen.end(leave) == status
    assert screen.sane and screen.raw.count(b"\x1b[?1049l") == 1
    assert b"\x1b[?25h" in screen.raw[screen.raw.rindex(b"\x1b[?25l") :]
    assert b"Traceback" not in screen.raw


def test_a_key_asks_runs_the_verb_and_comes_back(served: Studio, opened: Open) -> None:
    first, second, _ = served.ports
    screen = opened(served)
    screen.until("ready")
    screen.type("u")
    screen.until(f"Unload {first} (amber)? [y/N]")
    screen.type("n")
    screen.gone("[y/N]")
    assert served.assignments() == {"amber": first}
    screen.type("u")
    screen.until("[y/N]")
    screen.type("y")
    screen.until(f"unload {first} --yes", "amber was unloaded", "press a key")
    screen.type(" ")
    screen.until("updated", "q quit")
    screen.type("j")
    screen.when(lambda: line_of(screen, second).startswith("> "))
    screen.type("Ljade\r")
    screen.until(f"load jade {second}", "ready after", "press a key")
    screen.type(" ")
    screen.until("updated", "jade", "q quit")
    assert served.assignments() == {"jade": second}


def test_the_log_the_details_and_the_help(served: Studio, opened: Open) -> None:
    screen = opened(served, PAGER="cat")
    screen.until("ready")
    screen.type("l")
    screen.until(f"logs {served.ports[0]}", "Uvicorn running", "press a key")
    screen.type(" ")
    screen.until("q quit")
    screen.type("\r")
    screen.until("start command", "press a key")
    screen.type(" ")
    screen.until("q quit")
    screen.type("?")
    screen.until("load a model there", "any key goes back")
    screen.type(" ")
    screen.until("q quit")


def test_ctrl_c_in_a_verb_does_not_end_the_view(
    served: Studio, opened: Open, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves(load_s=60)
    screen = opened(served)
    screen.until("ready")
    screen.type("jLjade\r")
    screen.until("loading")
    screen.type("\x03")
    screen.until("press a key")
    screen.type(" ")
    screen.until("updated", "q quit")
    assert served.assignments() == {"amber": served.ports[0]}


def test_two_hosts_of_which_one_is_dead(served: Studio, opened: Open) -> None:
    text = (served.hosts_dir / "studio.toml").read_text()
    dead = text.replace('transport = "local"', 'transport = "ssh"')
    address = '\n[ssh]\nhost = "127.0.0.1"\nport = 1\n'
    (served.hosts_dir / "attic.toml").write_text(dead + address)
    screen = opened(served, *WATCH, "--host", "attic,studio")
    screen.until("attic", "link lost", "refused the connection", "studio", "ready")


@pytest.mark.openssh
def test_a_lost_link_is_made_again(far_studio: Studio, link: CutLink, opened: Open) -> None:
    far_studio.must("init")
    far_studio.must("load", "amber", far_studio.ports[0])
    screen = opened(far_studio)
    screen.until("updated", "ready")
    link.reset()
    screen.until("link lost", "reconnecting", "amber")
    screen.until("updated", "ready")
    screen.type("q")
    assert screen.end() == 0
    eventually(lambda: not link.carried)


@pytest.mark.openssh
def test_a_refused_login_ends_it_with_the_ordinary_error(far_studio: Studio, opened: Open) -> None:
    key = far_studio.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    path = far_studio.hosts_dir / "studio.toml"
    assert far_studio.login is not None
    path.write_text(path.read_text().replace(far_studio.login.identity_file or "-", str(key)))
    screen = opened(far_studio)
    assert screen.end() == 4
    assert screen.sane and "rejected the login" in screen.text and "hint:" in screen.text


def test_a_pipe_gets_lines_of_json(served: Studio) -> None:
    with served.start(*WATCH, "--json") as lines:
        assert lines.stdout is not None and lines.stderr is not None
        first = json.loads(lines.stdout.readline())
        assert (first["host"], first["event"]) == ("studio", "watch")
        assert [row["state"] for row in first["ports"]] == ["ready", "free", "free"]
        served.must("unload", served.ports[0])
        seen: list[dict[str, object]] = []
        while not any((row["port"], row["state"]) == (served.ports[0], "free") for row in seen):
            seen = json.loads(lines.stdout.readline()).get("ports", [])
        lines.send_signal(signal.SIGINT)
        assert all(json.loads(line) for line in lines.stdout)
        assert lines.stderr.read() == ""
    assert lines.returncode == 130


def test_a_pipe_gets_tables_until_its_reader_has_gone(served: Studio) -> None:
    with served.start(*WATCH) as tables:
        assert tables.stdout is not None and tables.stderr is not None
        while "free" not in tables.stdout.readline():
            continue
        tables.stdout.close()
        assert tables.wait(timeout=20) == 0 and tables.stderr.read() == ""


@pytest.mark.parametrize("words", [("--check",), ("--deep",), ("-o", "name"), ("-o", "yaml")])
def test_options_that_contradict_it_are_refused(one: Studio, words: tuple[str, ...]) -> None:
    answer = one.start("status", "-w", *words)
    out, err = answer.communicate(timeout=20)
    assert answer.returncode == 2 and "--watch" in out + err
