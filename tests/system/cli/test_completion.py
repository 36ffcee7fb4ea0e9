"""TAB in real shells: the names of the last answers, without a word to the host."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops import client_state
from mlxops.agent.models import field_values
from mlxops.agent.restricted.grant import GRANTABLE
from mlxops.agent.runtimes.table import RUNTIMES
from mlxops.cli.words import completion
from mlxops.cli.words.known_names import NOTHING, names_of, remember, updated
from mlxops.cli.words.scripts import script
from mlxops.hosts import files as hosts
from tests.support.sources import ROOT

HOST_FILE = """\
[ssh]
host = "no-such-host.invalid"
[studio]
hf_home = "/models"
ports = "8100-8103"
[slots.8101]
name = "jerry-s"
"""
ROWS = [
    {"name": "coder", "repo_id": "org/Coder", "port": 8102, "tool_call_parser": "qwen3_moe"},
    {"name": "jerry-xl", "repo_id": "org/Big", "port": None, "tool_call_parser": None},
]
LONGEST_S = 30
ESCAPES = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]|\x1b[=>]|\r|\x08|\x07")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A host that cannot be reached, whose answers are known, and a program on the PATH."""
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/lab.toml").write_text(HOST_FILE)
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", str(tmp_path / "hosts"))
    monkeypatch.delenv("MLXOPS_HOST", raising=False)
    remember([(hosts.find_host(None, None), "list", {}, {"models": ROWS})])
    program = tmp_path / "bin/mlxops"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlxops "$@"\n')
    program.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        (tmp_path / f"complete.{shell}").write_text(script(shell, "mlxops"))
    path = f"{program.parent}:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "dumb", "HOME": str(tmp_path)}
    return {**os.environ, **own}


class Shell:
    """An interactive shell at a terminal."""

    def __init__(self, env: dict[str, str], *argv: str) -> None:
        self._keys, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def type(self, keys: str, until: str) -> None:
        """Type, and wait until the screen shows a text after what it showed before."""
        self.shown = ""
        os.write(self._keys, keys.encode())
        while until not in ESCAPES.sub("", self.shown):
            ready = select.select([self._keys], [], [], LONGEST_S)[0]
            assert ready, f"{until!r} is not in {self.shown!r}"
            self.shown += os.read(self._keys, 4096).decode()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._keys)


@pytest.fixture(params=["bash", pytest.param("zsh", marks=pytest.mark.zsh)])
def shell(request: pytest.FixtureRequest, env: dict[str, str]) -> Iterator[Shell]:
    argv = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}
    made = Shell(env, *argv[request.param])
    setup = "autoload -U compinit; compinit -D -u; " if request.param == "zsh" else ""
    made.type(f"PS1='$ '; {setup}source ~/complete.{request.param}; echo re''ady\n", "\nready")
    yield made
    made.end()


def test_a_shell_completes_what_is_known_of_the_host(shell: Shell) -> None:
    shell.type("mlxops load co\t", "load coder ")
    shell.type("81\t", "810")
    shell.type("\x15mlxops stop jer\t", "jerry-s ")
    shell.type("\x15mlxops unload 8100,cod\t", "8100,coder ")
    shell.type("\x15mlxops set coder tool\t", "tool_call_parser=")
    shell.type("qw\t", "qwen3_moe ")
    shell.type("\x15mlxops show org/C\t", "org/Coder ")
    shell.type("\x15mlxops help rec\t", "reconcile ")


@pytest.mark.fish
def test_fish_offers_each_name_with_what_it_means(env: dict[str, str], tmp_path: Path) -> None:
    def offered(line: str) -> list[str]:
        source = f"source {tmp_path}/complete.fish; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", source], env=env, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    assert offered("mlxops load co") == ["coder\torg/Coder"]
    assert offered("mlxops unload 8100,co") == ["8100,coder\t8102"]
    assert offered("mlxops set coder tool_call_parser=qw") == ["tool_call_parser=qwen3_moe"]
    assert offered("mlxops bogus ") == []


def tab(env: dict[str, str], *typed: str) -> list[str]:
    """What is offered after these words, of which the last is being typed."""
    asked = {
        "_MLXOPS_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join(("mlxops", *typed)),
        "COMP_CWORD": str(len(typed)),
    }
    done = subprocess.run(
        ["mlxops"], env={**env, **asked}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("status", "--sort", "la"), ["latency"]),
        (("status", "--columns", "port,la"), ["port,latency"]),
        (("list", "-o", "y"), ["yaml"]),
        (("authorize", "--verbs", "status,rec"), ["status,reconcile"]),
        (("register", "a", "o/b", "--runtime", "mlx_"), ["mlx_lm.server"]),
        (("register", "a", "o/b", "--tool-call-parser", "q"), ["qwen3_moe"]),
        (("set", "coder", "slot", "=", "je"), ["jerry-s"]),
        (("set", "coder", "chat_template", "="), ["auto", "none"]),
        (("set", "coder", "cha"), ["chat_template="]),
        (("cancel", "jer"), ["jerry-s"]),
        (("--host", "other", "load", ""), []),
        (("load", "'co"), ["coder"]),
        (("bogus", ""), []),
        (("hosts", ""), ["add", "use"]),
        (("load", "coder", "8100", "--host", "la"), ["lab"]),
    ],
)
def test_tab_offers_keys_values_and_names_and_prints_no_error(
    env: dict[str, str], typed: tuple[str, ...], offered: list[str]
) -> None:
    assert tab(env, *typed) == offered


def test_tab_works_without_a_state_folder_a_host_file_or_a_home(
    env: dict[str, str], tmp_path: Path
) -> None:
    assert tab({**env, "XDG_STATE_HOME": "/dev/null"}, "load", "co") == []
    assert tab({**env, "MLXOPS_HOSTS_DIR": "/nowhere"}, "load", "co") == []
    (tmp_path / "hosts/lab.toml").write_text("broken = [")
    assert tab(env, "status", "81") == []


def test_each_answer_adds_its_names() -> None:
    names = updated(NOTHING, "list", {}, {"models": ROWS})
    assert names.entries == {"coder": "org/Coder", "jerry-xl": "org/Big"}
    assert names.loaded == {"8102": "coder"}
    assert names.parsers == {"tool_call_parser": ["qwen3_moe"]}
    row = {"port": 8100, "entry": "new"}
    names = updated(names, "status", {}, {"ports": [row, {"port": 8102, "entry": None}]})
    assert names.loaded == {"8100": "new"} and names.entries["new"] == ""
    names = updated(names, "jobs", {}, {"jobs": [{"job": "20261128T1-8100-7", "short": "8100-7"}]})
    assert names.jobs == ["8100-7"]
    assert updated(names, "remove", {"name": "new", "dry_run": True}, {}) == names
    assert "new" not in updated(names, "remove", {"name": "new"}, {"entry": "new"}).entries
    renamed = updated(names, "rename", {"name": "coder", "new": "c"}, {"entry": {"name": "c"}})
    assert "coder" not in renamed.entries and "c" in renamed.entries
    shown = {"entry": ROWS[0], "choices": {"reasoning_parser": ["qwen3"]}}
    assert updated(names, "show", {}, shown).parsers["reasoning_parser"] == ["qwen3"]
    assert updated(names, "load", {}, {"entry": "fresh", "port": 8100}).entries["fresh"] == ""


@pytest.mark.parametrize("broken", [None, 7, [], [1, 2, 3, 4], {"entries": {}}])
def test_a_broken_file_of_names_counts_as_absent(env: dict[str, str], broken: object) -> None:
    host = hosts.find_host(None, None)
    assert names_of(host).loaded == {"8102": "coder"}
    folder = client_state.folder()
    assert folder
    client_state.write_json(next(folder.glob("names-*")).name, broken)
    assert names_of(host) == NOTHING
    remember([(host, "list", {}, {"models": ROWS})])
    assert names_of(host).loaded == {"8102": "coder"}


def test_what_is_offered_is_what_the_agent_accepts() -> None:
    assert set(completion.GRANTABLE) == set(GRANTABLE)
    assert set(completion.BUILT_IN_RUNTIMES) == set(RUNTIMES)
    assert set(completion.KEYS) <= set(field_values.SETTABLE)
