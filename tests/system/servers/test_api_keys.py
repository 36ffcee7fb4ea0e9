"""Servers that ask for an API key: told as such, and used with a key that nobody else sees."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login
from tests.support.commandlines import CommandLines
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio

KEY = "sk-PlantedKeyThatNobodyMaySee"
ASKS = "it asks for an API key (HTTP status 401): set api_key_file in the host file"
HINT = "set api_key_file or api_key_env in the host file: docs/runtimes.md#api-keys"
Keyed = Callable[..., Studio]


@pytest.fixture
def vllm(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path / "bin", "vllm")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret" / "key"
    path.parent.mkdir()
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def keyed(make_studio: Callable[..., Studio], vllm: FakeRuntime, tiny_models: Any) -> Keyed:
    """A Studio of vllm's stand-ins with its models known; keywords are keys of [runtime]."""

    def make(login: Login | None = None, env: dict[str, str] | None = None, **more: str) -> Studio:
        studio = make_studio(login, vllm.table(**more), env=env or {})
        studio.must("init")
        return studio

    return make


def checks(answer: Answer) -> dict[str, str]:
    (port,) = answer.document["result"]["ports"]
    return {one["check"]: one["detail"] for one in port["checks"] if one["ok"] is not True}


def unseen(studio: Studio, answers: list[Answer]) -> None:
    """The key is in no answer, and in no file of the Studio."""
    assert not [answer for answer in answers if KEY in answer.stdout + answer.stderr]
    files = [path for path in studio.folder.rglob("*") if path.is_file()]
    assert {"registry.json", "registry.history.jsonl"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_key_reaches_the_server_and_every_request_and_nothing_else(
    keyed: Keyed, login: Login, key_file: Path
) -> None:
    studio = keyed(login, api_key_file=str(key_file))
    port = studio.ports[0]
    with CommandLines() as lines:
        answers = [
            studio.mlxops("--debug", *words)
            for words in (
                ["load", "amber", port],
                ["status"],
                ["verify", port],
                ["load", "jade", port, "--replace"],
                ["show", "jade"],
                ["list"],
                ["logs", port],
                ["history"],
                ["jobs"],
                ["doctor"],
            )
        ]
    assert [answer.exit for answer in answers[:5]] == [0] * 5, answers[:5]
    row = next(row for row in answers[1].result["ports"] if row["port"] == port)
    assert (row["state"], row["drift"], row["reason"]) == ("ready", None, "")
    assert row["served_model"] == studio.slot(port)
    assert lines.seen and not [line for line in lines.seen if KEY in line]
    unseen(studio, answers)


def test_a_variable_of_the_login_can_have_the_key(keyed: Keyed) -> None:
    studio = keyed(env={"STUDIO_KEY": KEY}, api_key_env="STUDIO_KEY")
    studio.must("load", "amber", studio.ports[0])
    assert studio.mlxops("verify", studio.ports[0]).exit == 0


def test_a_load_without_the_key_says_what_is_asked_for(keyed: Keyed, vllm: FakeRuntime) -> None:
    studio = keyed()
    vllm.behaves(api_key=KEY)
    answer = studio.mlxops("load", "amber", studio.ports[0])
    assert (answer.exit, answer.error["hint"]) == (8, HINT)
    assert ASKS in answer.error["message"]


@pytest.mark.parametrize("guarded", ["/v1/", "/v1/chat", "/"])
def test_a_server_that_asks_for_a_key_is_told_by_status_and_verify(
    keyed: Keyed, vllm: FakeRuntime, guarded: str
) -> None:
    studio = keyed()
    port = studio.ports[0]
    studio.must("load", "amber", port)
    vllm.behaves(api_key=KEY, guarded=guarded)
    row = next(r for r in studio.must("status")["ports"] if r["port"] == port)
    assert (row["state"], row["drift"]) == ("ready", None)
    assert row["reason"] == ("" if guarded == "/v1/chat" else ASKS)
    answer = studio.mlxops("verify", port)
    assert answer.exit == 11
    assert set(checks(answer).values()) == {ASKS}


def test_a_wrong_key_names_its_source(keyed: Keyed, vllm: FakeRuntime, key_file: Path) -> None:
    studio = keyed(api_key_file=str(key_file))
    vllm.behaves(api_key="another")
    answer = studio.mlxops("load", "amber", studio.ports[0])
    assert answer.exit == 8
    assert f"it refuses the API key of the file {key_file}" in answer.error["message"]
    unseen(studio, [answer])


def test_a_key_that_cannot_be_read_stops_nothing(keyed: Keyed, key_file: Path) -> None:
    studio = keyed(api_key_file=str(key_file))
    port = studio.ports[0]
    studio.must("load", "amber", port)
    pid = studio.port_row(port)["pid"]
    for content in (None, "", "two\nlines"):
        key_file.unlink(missing_ok=True)
        if content is not None:
            key_file.write_text(content)
        answer = studio.mlxops("load", "jade", port, "--replace")
        assert answer.exit == 1
        assert f"the file {key_file}" in answer.error["message"]
        assert studio.port_row(port)["pid"] == pid
    rows = studio.mlxops("doctor").document["result"]["checks"]
    assert [row["verdict"] for row in rows if row["check"] == "api keys"] == ["wrong"]


def test_doctor_warns_of_a_key_that_others_can_read(keyed: Keyed, key_file: Path) -> None:
    studio = keyed(api_key_file=str(key_file))
    key_file.chmod(0o644)
    rows = studio.mlxops("doctor").document["result"]["checks"]
    assert [(row["verdict"], row["mend"]) for row in rows if row["check"] == "api keys"] == [
        ("warning", f"on the host: chmod 600 {key_file}")
    ]


def test_a_slots_key_comes_before_its_runtimes(keyed: Keyed, vllm: FakeRuntime) -> None:
    studio = keyed(env={"A": "of-all", "B": KEY}, api_key_env="A")
    file = studio.hosts_dir / "studio.toml"
    name = f'name = "{studio.slot(studio.ports[0])}"\n'
    assert name in file.read_text()
    file.write_text(file.read_text().replace(name, name + 'api_key_env = "B"\n'))
    for entry, port in zip(("amber", "jade"), studio.ports, strict=False):
        studio.must("load", entry, port)
    keys = [record["env"]["VLLM_API_KEY"] for record in vllm.journal("started")]
    assert keys == [KEY, "of-all"]


@pytest.mark.parametrize("words", [["--api-key", KEY], [f"--api-key={KEY}"], ["--api_key", KEY]])
def test_a_key_in_args_is_refused_and_not_repeated(keyed: Keyed, words: list[str]) -> None:
    studio = keyed()
    arguments = [part for word in words for part in ("--arg=" + word,)]
    answers = [
        studio.mlxops("set", "amber", "args=" + " ".join(words)),
        studio.mlxops("register", "new", "tiny/new", *arguments),
    ]
    assert [answer.exit for answer in answers] == [2, 2]
    assert all("cannot be used in args" in answer.error["message"] for answer in answers)
    unseen(studio, answers)


def test_a_key_that_a_hand_edit_left_in_args_is_refused_by_load_and_masked(keyed: Keyed) -> None:
    studio = keyed()
    studio.edit(lambda registry: registry["models"]["amber"].update(args=["--api-key", KEY]))
    load = studio.mlxops("load", "amber", studio.ports[0])
    assert load.exit != 0 and "--api-key cannot be used in args" in load.error["message"]
    answers = [load, studio.mlxops("list"), studio.mlxops("show", "amber")]
    assert not [answer for answer in answers if KEY in answer.stdout + answer.stderr]
    assert '"***"' in answers[1].stdout


def test_an_adopted_servers_key_is_not_written_down(keyed: Keyed, vllm: FakeRuntime) -> None:
    studio = keyed()
    port, path = studio.ports[0], studio.entry("amber")["cache_path"]
    vllm.shows(vllm.program.with_name("vllm.help").read_text() + "\n  --api-key KEY\n")
    vllm.behaves(api_key=KEY)
    words = [*vllm.command, path, "--port", port, "--served-model-name", studio.slot(port)]
    server = subprocess.Popen([*map(str, words), "--api-key", KEY], stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        answers = [studio.mlxops("init"), studio.mlxops("status"), studio.mlxops("show", "amber")]
        assert studio.assignments() == {"amber": port}
        assert ASKS in json.dumps(answers[1].document)
        assert f"port {port}: {ASKS}" in answers[0].stderr
        unseen(studio, answers)
        studio.must("unload", port)
    finally:
        server.kill()
        server.wait()


def test_a_server_with_an_unknown_key_comes_back_after_a_failed_swap(
    keyed: Keyed, vllm: FakeRuntime
) -> None:
    studio = keyed()
    port = studio.ports[0]
    studio.must("load", "amber", port)
    vllm.behaves(api_key=KEY)
    vllm.behaves("jade", api_key="another")
    answer = studio.mlxops("load", "jade", port, "--replace")
    assert answer.exit == 8 and "amber serves again" in answer.error["message"]
    row = studio.port_row(port)
    assert (row["entry"], row["state"], row["reason"]) == ("amber", "ready", ASKS)


class Listener(BaseHTTPRequestHandler):
    keys: list[str | None]

    def do_GET(self) -> None:
        self.keys.append(self.headers.get("Authorization"))
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger(keyed: Keyed) -> Iterator[tuple[int, list[str | None]]]:
    handler = type("Stranger", (Listener,), {"keys": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, handler.keys  # type: ignore[attr-defined]
        server.shutdown()


def test_a_stranger_on_the_port_is_sent_no_key(
    make_studio: Callable[..., Studio],
    vllm: FakeRuntime,
    key_file: Path,
    stranger: tuple[int, list[str | None]],
) -> None:
    port, keys = stranger
    studio = make_studio(None, vllm.table(api_key_file=str(key_file)), ports=[port])
    studio.must("init")
    assert studio.port_row(port)["drift"] == "foreign"
    studio.mlxops("verify", port)
    assert keys and set(keys) == {None}


def wait_for_port(port: int) -> None:
    from tests.support.studio import eventually

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    assert eventually(answers)
