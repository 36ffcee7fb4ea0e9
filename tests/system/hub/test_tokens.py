"""The host's Hub token: used for a download, but in no command line, file or answer of mlxops."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login, LoopbackServer
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.commandlines import CommandLines
from tests.support.fakehub import FakeHub
from tests.support.padding import padding
from tests.support.studio import Answer, Studio, finished
from tests.support.watching import refused

REPO = "tiny/onyx"
TOKEN = "hf_PlantedTokenThatNobodyMaySee"
BYTES = 4 << 20


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub that serves its one model only with the token."""
    weights = {"model-padding.safetensors": padding(BYTES)}
    write_cache(tmp_path / "remote", REPO, {**model_files([" ONYX"], pad_mb=1), **weights})
    with FakeHub(tmp_path / "remote", gated={REPO}, token=TOKEN) as hub:
        yield hub


@pytest.fixture
def variable() -> str:
    return "HF_TOKEN"


@pytest.fixture
def near_hub(variable: str, tmp_path: Path, hub: FakeHub) -> Iterator[Login]:
    """A login whose shell sets the token: the server's command line must not contain it."""
    for folder in ("keys", "home"):
        (tmp_path / folder).mkdir()
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\nexport {variable}={TOKEN}\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    with LoopbackServer(tmp_path / "keys", tmp_path / "home", str(shell), env) as server:
        yield server.login


@pytest.fixture
def trusted(
    near_hub: Login, make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]
) -> Studio:
    """A Studio whose logins have the token."""
    studio = make_studio(near_hub, studio_runtime)
    studio.must("init")
    return studio


def unseen(studio: Studio, *answers: Answer) -> None:
    """The token is in no output, and in no file of the Studio or of its logins' home."""
    assert not [answer for answer in answers if TOKEN in answer.stdout + answer.stderr]
    places = [studio.folder, studio.folder.parent / "home"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert {"registry.history.jsonl", "registry.json"} <= {path.name for path in files}
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_download_uses_the_token_and_shows_it_nowhere(trusted: Studio, hub: FakeHub) -> None:
    hub.faults.rate = 8 << 20
    port = trusted.ports[0]
    with CommandLines() as lines:
        load = finished(trusted.start("--debug", "-v", "load", REPO, port))
    assert load.exit == 0, load
    assert TOKEN in {request.token for request in hub.asked_for("/resolve/")}
    assert [line for line in lines.seen if "hub/child" in line], "the download was not looked at"
    assert not [line for line in lines.seen if TOKEN in line]
    told = [
        trusted.mlxops(*words)
        for words in (
            ["status"],
            ["list"],
            ["show", "onyx"],
            ["logs", port],
            ["load", REPO, trusted.ports[1]],
        )
    ]
    assert list((trusted.state_dir / "jobs").iterdir())
    unseen(trusted, load, *told)


def test_a_refused_token_is_not_told(trusted: Studio, hub: FakeHub) -> None:
    hub.token = "hf_another"
    answer = trusted.mlxops("load", REPO, trusted.ports[0])
    assert TOKEN in {request.token for request in hub.seen}
    refused(answer, 9, "ModelGated")
    trusted.must("register", "kept", "tiny/amber2")
    unseen(trusted, answer)


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_download_that_prints_its_environment_is_not_passed_on(
    trusted: Studio, tmp_path: Path
) -> None:
    python = tmp_path / "talkative"
    mark = shlex.quote(str(tmp_path / "printed"))
    lines = (
        "#!/bin/sh",
        'case "$*" in *find_spec*) exit 0;; esac',
        f"env >{mark}",
        "env | grep TOKEN >&2",
        "exit 3",
    )
    python.write_text("\n".join(lines))
    python.chmod(0o755)
    trusted.describe(hub_python=str(python))
    answer = trusted.mlxops("load", REPO, trusted.ports[0])
    assert TOKEN in (tmp_path / "printed").read_text(), (
        "it was not printed: this test proves nothing"
    )
    assert "***" in refused(answer, 9, "NotDownloadable")["stderr"]
    trusted.must("register", "kept", "tiny/amber2")
    unseen(trusted, answer)
