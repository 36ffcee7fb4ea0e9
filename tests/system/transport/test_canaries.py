"""No text reaches a shell: canaries in every place for a string, over a real sshd, with real login
shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import MlxopsError
from mlxops.demo.loopback import Login
from tests.support.asking import ask
from tests.support.clientside import ssh_config
from tests.support.fakeruntime import FakeRuntime
from tests.support.sshd import Sshd
from tests.support.studio import Studio, eventually, finished

pytestmark = pytest.mark.openssh
# Of this very run, so that what an earlier one left behind accuses nobody.
MARK = f"canary{os.getpid()}n"


def trap(text: str) -> str:
    """The text with its canaries under names of this run."""
    return text.replace("CANARY", MARK)


# As a part of a path and of a host file: no slash, no newline. Each form would leave a file of its
# own.
TRAP = trap(
    "t';touch CANARY1;'x\\t\";touch CANARY2;\"$(touch CANARY3)`touch CANARY4`|touch CANARY5&touch "
    "CANARY6& %h"
)
LINES = trap(f"{TRAP}\ntouch CANARY7\n")
# Without blanks, for names of hosts and users.
TIGHT = trap(";touch${IFS}CANARY8;$(touch${IFS}CANARY9)`touch${IFS}CANARY0`")
FIELDS = (
    "repo_id",
    "model_id",
    "cache_path",
    "format",
    "revision",
    "runtime",
    "chat_template",
    "tool_call_parser",
    "reasoning_parser",
    "args",
)


class Trapped(Studio):
    """A Studio with a trap in every path and every slot's name."""

    def slot(self, port: int) -> str:
        return f"{TRAP}{port}"


@pytest.fixture(params=["bash", "zsh", "sh"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sshd]:
    shell = shutil.which(request.param)
    assert shell, f"these tests need {request.param}: install it"
    with Sshd(tmp_path / "sshd", shell) as server:
        yield server


@pytest.fixture
def trapped(
    server: Sshd, tmp_path: Path, tiny_models: dict[str, dict[str, bytes]]
) -> Iterator[Trapped]:
    folder = tmp_path / TRAP
    python = folder / "python"
    folder.mkdir()
    python.symlink_to(sys.executable)
    runtime = FakeRuntime(folder / "bin")
    runtime.behaves(child=False, load_s=0)
    table = {
        "name": "mlx-openai-server",
        "command": runtime.command,
        "env": {"TRAP": TRAP},
        "grace_s": 3,
    }
    login = Login(
        "127.0.0.1", server.port, server.user, str(server.client_key), str(server.known_hosts)
    )
    studio = Trapped(folder, login, table)
    studio.describe(python=str(python), hub_python=str(folder / "hub-python"))
    for repo_id, files in tiny_models.items():
        studio.add(repo_id, files)
    yield studio
    studio.mlxops("unload-all", "--grace", 3)


def sprung(folder: Path) -> list[str]:
    """The canaries that exist: in the test's folder, the current one, and at home."""
    places = [
        *folder.rglob(f"{MARK}*"),
        *Path.cwd().glob(f"{MARK}*"),
        *Path.home().glob(f"{MARK}*"),
    ]
    return [str(path) for path in places if re.fullmatch(MARK + r"\d", path.name)]


@pytest.fixture(autouse=True)
def no_canary_left(tmp_path: Path) -> Iterator[None]:
    yield
    for path in sprung(tmp_path):
        Path(path).unlink()


def attempt(studio: Studio, verb: str, **args: Any) -> str:
    """The kind of the error, empty when there is none."""
    try:
        ask(studio, verb, **args)
    except MlxopsError as exc:
        return exc.kind
    return ""


def test_the_traps_do_spring_in_a_shell(tmp_path: Path) -> None:
    for text in (TIGHT, f"'{LINES}'", f'"{LINES}"', LINES):
        subprocess.run(["sh", "-c", f"echo {text}"], cwd=tmp_path, capture_output=True, check=False)
    eventually(lambda: {Path(path).name[-1] for path in sprung(tmp_path)} == set("0123456789"), 10)


@pytest.mark.slow
def test_nothing_reaches_a_shell(trapped: Trapped, tmp_path: Path) -> None:
    port = trapped.ports[0]
    ask(trapped, "init")
    template = trapped.folder / f"{TRAP}.jinja"
    template.write_text("x")
    fields = {
        **trapped.entry("amber"),
        "chat_template": str(template),
        "args": ["--config-name", LINES],
        LINES: LINES,
    }
    for parser in ("tool_call_parser", "reasoning_parser"):
        fields.pop(parser, None)
    trapped.edit(lambda r: r["models"].update({LINES: fields}))
    trapped.edit(lambda r: r["models"].pop("amber"))
    assert (
        attempt(trapped, "load", model=LINES, port=port) == ""
        and attempt(trapped, "logs", port=port, lines=5) == ""
    )
    assert trapped.ask(port, trapped.slot(port)) == "I am tiny/amber"
    assert [attempt(trapped, "show", what=what) for what in (LINES, str(port))] == ["", ""]
    assert (
        attempt(trapped, "load", model="jade", port=port, replace=True)
        == ""
        == attempt(trapped, "status")
    )
    assert attempt(trapped, "unload-all") == "" == attempt(trapped, "reconcile")
    assert sprung(tmp_path) == []
    for key in FIELDS:
        assert attempt(trapped, "set", name="topaz", changes={key: LINES}) in (
            "",
            "Usage",
            "Failed",
        ), key
        trapped.edit(
            lambda r, key=key: r["models"]["jade"].update(
                {key: [LINES] if key == "args" else LINES}
            )
        )
    assert attempt(trapped, "load", model="jade", port=port) != "" == attempt(trapped, "list")
    assert attempt(trapped, "load", model=LINES + "x", port=port) == "ModelUnknown"
    assert attempt(trapped, "load", model="tiny/topaz", port=port, revision=LINES) != ""
    model = {"name": LINES + "y", "repo": "tiny/topaz", "chat_template": LINES, "args": [LINES]}
    assert attempt(trapped, "register", **model) != ""
    assert sprung(tmp_path) == []


@pytest.mark.parametrize("server", ["zsh"], indirect=True)
def test_no_line_for_a_crontab_springs_a_trap(trapped: Trapped, tmp_path: Path) -> None:
    ask(trapped, "init")
    line = trapped.must("cron")["line"].split(" ", 5)[5].replace("\\%", "%")
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, ""), done
    assert sprung(tmp_path) == []


def test_no_login_of_a_host_file_springs_a_trap(trapped: Trapped, tmp_path: Path) -> None:
    """Nor with an ssh configuration that uses it in commands."""
    config = "Host *\n  ProxyCommand echo %h %n %r %p >&2\n  UserKnownHostsFile ~/%r %h\n"
    trapped.env["PATH"] = ssh_config(tmp_path / "ssh", config)
    assert trapped.login is not None
    good = vars(trapped.login)
    for key, value in (
        ("host", TIGHT),
        ("user", TIGHT),
        ("identity_file", f"/{TRAP}"),
        ("known_hosts_file", f"/{TRAP}"),
    ):
        trapped.login = Login(**{**good, key: value})
        trapped.describe()
        said = finished(trapped.start("--json", "list"))
        assert said.exit in (2, 3, 4) and "Traceback" not in said.stderr, said
        assert sprung(tmp_path) == [], key
    trapped.login = Login(**good)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["zsh"], indirect=True)
@pytest.mark.parametrize(
    "key", ["python", "state_dir", "hf_home", "registry", "bind", "hub_python"]
)
def test_no_path_of_a_host_file_springs_a_trap(trapped: Trapped, tmp_path: Path, key: str) -> None:
    for value in (
        TRAP if key in ("bind", "python") else f"/{tmp_path}/x{TRAP}",
        f"~/{TRAP}",
        f"~{TRAP}",
        f"-{TRAP}",
    ):
        trapped.describe(**{key: value})
        said = finished(trapped.start("--json", "load", "amber", trapped.ports[0]))
        assert "Traceback" not in said.stderr and "defect" not in said.stdout, said
        assert sprung(tmp_path) == [] == sprung(Path(f"/{tmp_path}")), value
    trapped.describe()
