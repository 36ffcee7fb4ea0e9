"""Which interpreter downloads: found by really asking each one for huggingface_hub."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

import mlxops
from mlxops.agent.errors import NotDownloadable
from mlxops.agent.hub import interpreter as hubpython

ASK = """
import sys
from types import SimpleNamespace
from mlxops.agent.errors import MlxopsError
from mlxops.agent.hub.interpreter import find_interpreter
try:
    print(*find_interpreter(SimpleNamespace(hub_python=None), sys.argv[2:], [sys.argv[1]]))
except MlxopsError as error:
    print(error.kind, error.hint)
"""


@dataclass
class Place:
    """The part of a site that matters here."""

    hub_python: str | None = None


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def found(*command: str, hub_python: str | None = None) -> tuple[str, ...]:
    return hubpython.find_interpreter(Place(hub_python), command)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without huggingface_hub."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python3"


def marked(folder: Path) -> str:
    """An interpreter with huggingface_hub that is not the agent's own."""
    return script(folder / "bin" / "python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')


def test_the_host_files_interpreter_comes_first_and_alone(tmp_path: Path, bare: Path) -> None:
    python, runtime = marked(tmp_path / "told"), marked(tmp_path / "runtime")
    assert found(runtime, hub_python=python) == (python,)
    for wrong in (str(bare), str(tmp_path / "absent"), "/bin/false"):
        with pytest.raises(NotDownloadable) as caught:
            found(runtime, hub_python=wrong)
        assert wrong in caught.value.message and "pip install" in caught.value.hint


def test_then_the_runtimes_own_environment(tmp_path: Path, bare: Path) -> None:
    python = marked(tmp_path / "one")
    assert found(script(tmp_path / "server", f"#!{python}\n")) == (python,)
    assert found(script(tmp_path / "one" / "bin" / "server", "#!/bin/sh\n")) == (python,)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "one" / "bin" / "server")
    assert found(str(tmp_path / "elsewhere"), "launch") == (python,)
    assert found(python, "-m", "mlx_lm.server") == (python,)


def test_the_long_form_pip_writes_is_understood(tmp_path: Path) -> None:
    python = marked(tmp_path / "with blanks")
    text = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\nimport sys\n"
    assert found(script(tmp_path / "server", text)) == (python,)


def test_the_project_of_uv_run(tmp_path: Path) -> None:
    python = marked(tmp_path / "project" / ".venv")
    os.rename(python, tmp_path / "project" / ".venv" / "bin" / "python")
    expected = (str(tmp_path / "project" / ".venv" / "bin" / "python"),)
    for flags in (["--project", str(tmp_path / "project")], [f"--project={tmp_path / 'project'}"]):
        assert found("uv", "run", *flags, "mlx-openai-server", "launch") == expected


def test_then_the_agents_own_interpreter(bare: Path) -> None:
    assert found(str(bare), "-m", "server") == found() == (sys.executable,)


def asked(bare: Path, uv: str, *command: str) -> str:
    """What an agent finds if its interpreter has no huggingface_hub."""
    environment = {"PYTHONPATH": str(Path(mlxops.__file__).parent.parent), "PATH": str(bare.parent)}
    words = [str(bare), "-c", ASK, uv, *command]
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_then_uv_and_else_the_command_that_helps(tmp_path: Path, bare: Path) -> None:
    uv = script(tmp_path / "uv", "#!/bin/sh\n")
    throwaway = "run --quiet --no-project --with huggingface_hub python"
    assert asked(bare, uv) == f"{uv} {throwaway}"
    own = script(tmp_path / "own" / "uv", "#!/bin/sh\n")
    assert asked(bare, uv, own, "run", "mlx-openai-server") == f"{own} {throwaway}"
    answer = asked(bare, str(tmp_path / "absent"))
    assert (
        answer.startswith("NotDownloadable on the host run") and f"{bare} -m pip install" in answer
    )


def test_an_interpreter_that_is_too_old_is_not_taken(tmp_path: Path) -> None:
    pretended = "import sys; sys.version_info = (3, 8); $2"
    old = script(tmp_path / "python3", f'#!/bin/sh\nexec {sys.executable} -c "{pretended}"\n')
    assert not hubpython.has_hub((old,))
    assert hubpython.has_hub((sys.executable,))
