"""The host file's [hub]: where the Hub is, the token's file, and offline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.commandlines import CommandLines
from tests.support.fakehub import FakeHub
from tests.support.studio import Answer, Studio

OPAL = "mlx-community/Opal-1B-4bit"
TOKEN = "hf_PlantedTokenThatNobodyMaySee"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub that answers nothing without the token."""
    write_cache(tmp_path / "remote", OPAL, model_files([" OPAL"]))
    with FakeHub(tmp_path / "remote", token=TOKEN, private=True, listing={OPAL: {}}) as hub:
        yield hub


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret" / "token"
    path.parent.mkdir()
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def here(
    hub: FakeHub,
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    """A local Studio whose login has a wrong token for a Hub that does not exist."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_login")
    studio = make_studio(None, studio_runtime)
    studio.must("init")
    return studio


def describe(studio: Studio, **hub: Any) -> None:
    studio.hub_table = hub
    studio.describe(hub_python=sys.executable)


def rows_of_doctor(answer: Answer) -> list[tuple[str, str, str]]:
    rows = answer.document["result"]["checks"]
    return [(row["verdict"], row["seen"], row["mend"]) for row in rows if row["check"] == "hub"]


def test_every_download_and_query_uses_them_and_shows_no_token(
    here: Studio, hub: FakeHub, token_file: Path
) -> None:
    describe(here, endpoint=hub.url + "/", token_file=str(token_file))
    with CommandLines() as lines:
        answers = [
            here.mlxops("--debug", *words)
            for words in (
                ["fit", OPAL],
                ["search", "opal"],
                ["pull", OPAL],
                ["load", OPAL, here.ports[0]],
                ["doctor"],
                ["show", "opal-1b-4bit"],
            )
        ]
    assert [answer.exit for answer in answers[:4]] == [0, 0, 0, 0], answers[:4]
    assert [row["repo_id"] for row in answers[1].result["models"]] == [OPAL]
    asked = [request for request in hub.seen if not request.path.startswith("/lfs/")]
    assert {request.token for request in asked} == {TOKEN}
    assert [row[:2] for row in rows_of_doctor(answers[4])] == [
        ("ok", f"{hub.url} answers with the token of {token_file}")
    ]
    assert lines.seen and not [line for line in lines.seen if TOKEN in line]
    assert not [answer for answer in answers if TOKEN in answer.stdout + answer.stderr]
    files = [path for path in here.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_a_server_gets_neither_the_token_nor_its_file(
    here: Studio, hub: FakeHub, token_file: Path
) -> None:
    describe(here, endpoint=hub.url, token_file=str(token_file))
    here.must("load", "tiny/amber", here.ports[0])
    pid = here.port_row(here.ports[0])["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {line.partition(b"=")[0] for line in environment}
    assert b"HF_HUB_OFFLINE=1" in environment
    assert not names & {b"HF_TOKEN", b"HF_TOKEN_PATH", b"HUGGING_FACE_HUB_TOKEN"}


def test_a_refused_token_names_its_file(here: Studio, hub: FakeHub, token_file: Path) -> None:
    describe(here, endpoint=hub.url, token_file=str(token_file))
    hub.token = "hf_another"
    answer = here.mlxops("pull", OPAL)
    assert (answer.exit, answer.error["reason"]) == (9, "denied")
    assert f"into {token_file} on the host" in answer.error["hint"]
    ((verdict, seen, _),) = rows_of_doctor(here.mlxops("doctor"))
    assert (verdict, seen) == ("wrong", f"{hub.url}: HTTP status 401")
    assert TOKEN not in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (Path.unlink, "cannot be read: No such file or directory"),
        (lambda path: path.write_text("\n"), "is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "has no token: one line of ASCII"),
    ],
)
def test_a_token_file_that_gives_no_token_is_an_error_before_any_request(
    here: Studio, hub: FakeHub, token_file: Path, spoil: Callable[[Path], Any], why: str
) -> None:
    describe(here, endpoint=hub.url, token_file=str(token_file))
    spoil(token_file)
    for words in (["fit", OPAL], ["pull", OPAL], ["load", OPAL, here.ports[0]], ["search", "x"]):
        answer = here.mlxops(*words)
        assert (answer.exit, answer.error["hint"]) == (
            9,
            "correct token_file under [hub] in the host file",
        )
    assert here.mlxops("fit", OPAL).error["message"] == f"token_file {token_file} {why}"
    assert [row[0] for row in rows_of_doctor(here.mlxops("doctor"))] == ["wrong"]
    assert hub.seen == []


def test_doctor_warns_of_a_token_that_others_can_read(
    here: Studio, hub: FakeHub, token_file: Path
) -> None:
    describe(here, endpoint=hub.url, token_file=str(token_file))
    token_file.chmod(0o644)
    assert rows_of_doctor(here.mlxops("doctor"))[0] == (
        "warning",
        f"other accounts can read {token_file}",
        f"on the host: chmod 600 {token_file}",
    )


def test_offline_asks_nothing_and_says_so(here: Studio, hub: FakeHub) -> None:
    describe(here, endpoint=hub.url, offline=True)
    for words in (["fit", OPAL], ["pull", OPAL], ["load", OPAL, here.ports[0]], ["search", "x"]):
        answer = here.mlxops(*words)
        assert answer.exit == 9, words
        assert "so nothing is asked of the Hub" in answer.error["message"]
    here.must("load", "tiny/amber", here.ports[0])
    assert rows_of_doctor(here.mlxops("doctor")) == [
        ("ok", "offline is set: nothing is asked of the Hub", None)
    ]
    assert hub.seen == []


def test_a_hub_that_cannot_be_reached_is_wrong_in_doctor(here: Studio) -> None:
    describe(here, endpoint="http://127.0.0.1:9")
    ((verdict, seen, mend),) = rows_of_doctor(here.mlxops("doctor"))
    assert (verdict, mend) == ("wrong", "correct [hub] in the host file")
    assert seen.startswith("http://127.0.0.1:9: ")


def test_search_keeps_this_machines_token_from_the_hub_of_a_host(
    openssh_studio: Studio, hub: FakeHub
) -> None:
    hub.private = False
    openssh_studio.env["HF_TOKEN"] = "hf_of_this_machine"
    describe(openssh_studio, endpoint=hub.url)
    assert openssh_studio.must("search", "opal")["models"]
    assert {request.token for request in hub.seen} == {None}
