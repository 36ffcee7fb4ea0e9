"""The sessions of the pages are what the program does: every command runs, with the output that is
printed there. Figures may differ."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.sources import ROOT
from tests.support.studio import Studio, eventually, finished

README = (ROOT / "README.md").read_text("utf-8")
SLOTS = (ROOT / "docs" / "slots.md").read_text("utf-8")
DISK = (ROOT / "docs" / "disk.md").read_text("utf-8")
SESSION = re.compile(r"^```\n(\$ .*?)^```", re.M | re.S)
FIGURE = re.compile(
    r"\b[0-9a-f]{8}\b|\d+(\.\d+)?( [smhd]| ms| min| [KMGTk]i?B)( \d\d [smh])?(?!\w)"
)
SMALL, LARGE = "mlx-community/Qwen3-0.6B-4bit", "mlx-community/Qwen3-4B-4bit"


@dataclass
class PageStudio(Studio):
    """Its ports and slots are called as on a page. `slots`: the name of each port, in order."""

    slots: tuple[str, ...] = ()
    names: dict[int, str] = field(default_factory=dict)

    def slot(self, port: int) -> str:
        return self.slots[self.ports.index(port)]

    def real(self, text: str) -> str:
        """A text of the page with the ports of this Studio."""
        return re.sub(r"\b810(\d)\b", lambda found: str(self.ports[int(found[1])]), text)

    def on_page(self, text: str) -> str:
        """A text of the program with the ports of the page."""
        for number, port in enumerate(self.ports):
            text = re.sub(rf"\b{port}\b", f"810{number}", text)
        return text.replace(str(self.hub), "/Users/me/.cache/huggingface/hub")

    def run(self, session: str) -> None:
        """Run the commands of a session, and compare the outputs that it shows."""
        for command, expected in steps(session):
            words = shlex.split(self.real(command), comments=True)
            if words[0] == "$EDITOR":
                self.declare({self.ports[0]: LARGE})
                continue
            answer = finished(self.start(*words[1:]))
            assert answer.exit == 0, (command, answer)
            if expected:
                assert plain(self.on_page(answer.stdout)) == plain(expected), command


def steps(session: str) -> Iterator[tuple[str, str]]:
    """(command, the output below it) of a session."""
    for step in re.split(r"^\$ ", session, flags=re.M)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def plain(text: str) -> list[str]:
    """The words of a text, without figures."""
    # Which of two ports is unloaded first depends on the memory that their servers use.
    return FIGURE.sub("#", text.replace("unloaded first; ", "")).split()


def session_below(heading: str) -> str:
    found = SESSION.search(README, README.index(heading))
    assert found, heading
    return found[1]


@pytest.fixture
def page_studio(tmp_path: Path) -> Iterator[Callable[..., PageStudio]]:
    made: list[PageStudio] = []

    def make(runtime: dict[str, Any], *slots: str) -> PageStudio:
        ports = free_range(len(slots))
        made.append(PageStudio(tmp_path / "page", None, runtime, ports=ports, slots=slots))
        return made[0]

    yield make
    for studio in made:
        studio.mlxops("unload", "--all", "--grace", 5)


def test_the_first_table(page_studio: Callable[..., PageStudio], fake_runtime: FakeRuntime) -> None:
    studio = page_studio(fake_runtime.table(), "jerry-xl", "jerry-l", "jerry-m", "jerry-s")
    for name in ("amber", "jade", "topaz"):
        studio.add(f"tiny/{name}", model_files([f" {name}"]))
    studio.must("init")
    for name, at in (("amber", 0), ("jade", 1), ("topaz", 3)):
        studio.must("load", name, studio.ports[at])
    os.kill(studio.entry("topaz")["process"]["pid"], 9)
    eventually(lambda: studio.port_row(studio.ports[3])["state"] == "failed")
    studio.run(SESSION.findall(README)[0])


def test_the_content_of_the_cache(
    page_studio: Callable[..., PageStudio], fake_runtime: FakeRuntime
) -> None:
    studio = page_studio(fake_runtime.table(), "chat")
    studio.add(LARGE, model_files([" old"]))
    studio.add(LARGE, model_files([" new and longer"]))
    studio.must("init")
    studio.add("lab/opal-4bit", model_files([" o"]))
    studio.run(SESSION.findall(DISK)[0])


@pytest.mark.slow
def test_the_daily_flow_of_slots(
    page_studio: Callable[..., PageStudio], fake_runtime: FakeRuntime
) -> None:
    """Two models exchanged, a server killed, a new model."""
    studio = page_studio(fake_runtime.table(), "jerry-xl", "jerry-l", "jerry-m", "jerry-s")
    for name in ("amber", "jade", "topaz", "onyx"):
        studio.add(f"tiny/{name}", model_files([f" {name}"]))
    studio.must("init")
    for name, at in (("amber", 0), ("jade", 1), ("topaz", 2)):
        studio.must("load", name, studio.ports[at])
    os.kill(studio.entry("topaz")["process"]["pid"], 9)
    eventually(lambda: studio.port_row(studio.ports[2])["state"] == "failed")
    studio.declare({studio.ports[at]: f"tiny/{n}" for n, at in (("jade", 0), ("amber", 1))})
    studio.declare({**studio.declared, studio.ports[3]: "tiny/onyx"})
    shown = dict(steps(SESSION.findall(SLOTS)[0]))
    for words in (["apply", "--dry-run"], ["apply"]):
        answer = finished(studio.start(*words))
        assert answer.exit == 0, answer
        printed = " ".join(plain(studio.on_page(answer.stdout)))
        assert printed in " ".join(plain(shown["mlxops apply"])), printed
    for words in (["apply", "-q"], ["apply", "--dry-run"]):
        answer = finished(studio.start(*words))
        expected = shown[" ".join(["mlxops", *words])]
        assert plain(studio.on_page(answer.stdout)) == plain(expected), words


@pytest.mark.slow
def test_the_sessions(
    page_studio: Callable[..., PageStudio],
    light_runtime: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the real mlx_lm.server, and a Hub that has tiny models under these names."""
    for repo in (SMALL, LARGE):
        write_cache(tmp_path / "remote", repo, model_files([f" {repo}"]))
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        studio = page_studio(light_runtime, "chat", "code")
        studio.run(session_below("## A first session"))
        studio.run(session_below("## The daily flow"))
        assert studio.assignments() == {"qwen3-4b-4bit": studio.ports[0]}
