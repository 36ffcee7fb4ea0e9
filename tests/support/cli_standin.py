"""A stand-in for the call to the host, and a way to run a command line against it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.run import Run
from mlxops.hosts.files import Host

HOST_FILE = """
[studio]
hf_home = "/models"
ports = "8100-8101"
[slots.8101]
name = "jerry"
"""


class Studio:
    """Answers calls from a list and records the requests."""

    def __init__(
        self, *answers: dict[str, Any] | BaseException, events: tuple[dict[str, Any], ...] = ()
    ) -> None:
        self.answers, self.events = list(answers), events
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.host: Host | None = None

    def __call__(
        self,
        host: Host,
        verb: str,
        args: dict[str, Any],
        on_event: Callable[[dict[str, Any]], None],
        meanwhile: Callable[[], object],
    ) -> dict[str, Any]:
        self.host = host
        self.asked.append((verb, args))
        meanwhile()
        for event in self.events:
            on_event(event)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Ended:
    """The outcome of a command line: exit status, both streams, and the JSON document if there is
    one."""

    def __init__(self, studio: Studio, *argv: str, agrees: bool | None = None) -> None:
        out, err = io.StringIO(), io.StringIO()
        console = Asked(out, err, agrees)
        self.code = main(list(argv), Run(console, studio))
        self.out, self.err, self.questions = out.getvalue(), err.getvalue(), console.questions
        self.document: dict[str, Any] = json.loads(self.out) if "--json" in argv else {}


class Asked(Console):
    """A console with a user who always gives the same answer, or without a user."""

    def __init__(self, out: io.StringIO, err: io.StringIO, agrees: bool | None) -> None:
        super().__init__(out, err, interactive=agrees is not None)
        self._agrees = bool(agrees)
        self.questions: list[str] = []

    def confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self._agrees


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one host file in hosts/, and a home directory of its own."""
    monkeypatch.delenv("MLXOPS_HOST", raising=False)
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", str(tmp_path / "hosts"))
    monkeypatch.delenv("MLXOPS_DEBUG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "lab.toml").write_text(HOST_FILE)
    return tmp_path
