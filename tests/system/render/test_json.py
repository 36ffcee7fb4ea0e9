"""What programs read: one document per command, the same over SSH and locally; and what `list`
costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops import bundle, session, transport
from mlxops.hosts import files as hosts
from mlxops.transport import Link
from tests.support.fakehub import FakeHub
from tests.support.sshd import Sshd
from tests.support.studio import Studio, finished

# Figures that change from one look to the next.
MEASURED = re.compile(r'("(?:uptime_s|latency_ms|available_bytes|rss_bytes)": )[\d.]+')
ENVELOPE = ["schema", "host", "command", "ok", "result", "error"]
ACTIONS = {"actions", "drift"}
RESULTS: dict[str, set[str]] = {
    "list": {"models"},
    "show amber": {"entry", "port", "command"},
    "fit amber {port}": {
        "entry",
        "fits",
        "need_bytes",
        "available_bytes",
        "largest_context_tokens",
        "unload",
    },
    "status": {"ports", "memory", "drift"},
    "reconcile": ACTIONS,
    "init": ACTIONS,
    "init --dry-run": ACTIONS,
    "register new tiny/new --dry-run": ACTIONS,
    "register new tiny/new": ACTIONS,
    "set new model_id=another": {"entry", "changed", "actions"},
    "remove new": {"changed", "entry"},
    "load amber {port} --dry-run": {
        "port",
        "entry",
        "state",
        "changed",
        "duration_s",
        "actions",
        "warnings",
    },
    "load amber {port}": {
        "port",
        "entry",
        "state",
        "changed",
        "duration_s",
        "previous",
        "served_model",
    },
    "show {port}": {"entry", "port", "command"},
    "logs {port}": {"port", "path", "lines"},
    "unload {port}": {"port", "entry", "state", "changed", "duration_s"},
    "unload --all": {"ports"},
    "hosts": {"hosts"},
    "search tiny": {"models"},
}
LIST_ROW = {"name", "repo_id", "model_id", "format", "port", "slot", "cache_path", "size_bytes"}
STATUS_ROW = {
    "port",
    "slot_name",
    "entry",
    "state",
    "drift",
    "pid",
    "served_model",
    "rss_bytes",
    "uptime_s",
    "latency_ms",
}


@pytest.fixture
def hub(tmp_path: Path, known: Studio) -> Iterator[FakeHub]:
    with FakeHub(tmp_path / "hub") as hub:
        known.env["HF_ENDPOINT"] = hub.url
        yield hub


@pytest.mark.usefixtures("hub")
def test_every_verb_answers_with_one_document(known: Studio) -> None:
    for line, keys in RESULTS.items():
        words = line.format(port=known.ports[0]).split()
        answer = known.mlxops(*words)
        assert answer.exit == 0, answer
        document = answer.document
        assert list(document) == ENVELOPE
        assert (document["schema"], document["command"], document["ok"], document["error"]) == (
            1,
            words[0],
            True,
            None,
        )
        assert document["host"] == "studio" or words[0] in ("hosts", "search"), line
        assert keys <= document["result"].keys(), line


def test_rows_have_every_field_and_null_where_nothing_is_known(known: Studio) -> None:
    known.must("load", "amber", known.ports[0])
    models, status = known.must("list")["models"], known.must("status")
    assert [model["name"] for model in models] == ["amber", "jade", "topaz"]
    assert all(model.keys() >= LIST_ROW for model in models)
    assert [model["port"] for model in models] == [known.ports[0], None, None]
    assert all(row.keys() >= STATUS_ROW for row in status["ports"])
    assert [row["pid"] is None for row in status["ports"]] == [False, True, True]
    assert {"total_bytes", "available_bytes"} <= status["memory"].keys()


WRONG = ["load nonesuch {port}", "unload 1", "show nonesuch", "frobnicate", "load", "--nonesuch"]


@pytest.mark.slow
@pytest.mark.parametrize("line", WRONG)
def test_an_error_is_one_document_too(known: Studio, line: str) -> None:
    answer = known.mlxops(*line.format(port=known.ports[0]).split())
    document = answer.document
    assert list(document) == ENVELOPE and not document["ok"] and document["result"] is None
    assert {"kind", "message", "hint"} <= document["error"].keys() and answer.exit in (2, 9)


def test_ssh_and_local_say_the_same_bytes(known: Studio) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    for words in (
        ["list"],
        ["show", "jade"],
        ["show", port],
        ["status"],
        ["reconcile"],
        ["init", "--dry-run"],
        ["init"],
    ):
        far, near = known.mlxops(*words), known.mlxops("--local", *words)
        assert far.exit == near.exit == 0
        assert MEASURED.sub(r"\1…", far.stdout) == MEASURED.sub(r"\1…", near.stdout)
        if words not in (["status"], ["show", port]):
            assert far.stdout == near.stdout


def test_ssh_and_local_say_the_same_bytes_of_an_error(known: Studio) -> None:
    known.registry_path.write_text('{"version": 1,\n "models": {]}')
    far, near = known.mlxops("list"), known.mlxops("--local", "list")
    assert far.stdout == near.stdout and far.exit == near.exit == 5


class Recorder:
    """A link that notes each turn of the conversation."""

    def __init__(self, link: Link) -> None:
        self._link, self.turns = link, list[str]()

    def send(self, payload: bytes) -> None:
        self.turns.append("send")
        self._link.send(payload)

    def receive(self, timeout: float) -> bytes | None:
        chunk = self._link.receive(timeout)
        self.turns += ["receive"] if chunk else []
        return chunk

    def stderr_tail(self) -> str:
        return self._link.stderr_tail()

    def exit_status(self) -> int | None:
        return self._link.exit_status()

    def close(self) -> None:
        self._link.close()


@pytest.mark.openssh
def test_list_costs_one_connection_one_exec_and_one_round_trip(
    openssh_studio: Studio, openssh: Sshd
) -> None:
    openssh_studio.must("list")
    before = openssh.log.read_text()
    openssh_studio.must("list")
    told = openssh.log.read_text()[len(before) :]
    assert told.count("Connection from ") == 1
    assert told.count("Starting session: ") == 1 and "subsystem" not in told

    host = hosts.find_host("studio", str(openssh_studio.hosts_dir))
    link = Recorder(transport.open_for(host).open(host.python))
    asked = session.request(host, "list", {})
    answer = session.converse(host, link, bundle.pack(), asked, lambda event: None)
    assert answer == {"models": [], "warnings": []}
    assert link.turns[0] == "send" and link.turns.count("send") == 1


@pytest.mark.openssh
def test_the_agent_travels_once(openssh_studio: Studio) -> None:
    def weight() -> int:
        host = hosts.find_host("studio", str(openssh_studio.hosts_dir))
        link = Weighing(transport.open_for(host).open(host.python))
        session.converse(
            host, link, bundle.pack(), session.request(host, "list", {}), lambda event: None
        )
        return link.sent

    first, second = weight(), weight()
    assert second < 10_000 < first


class Weighing(Recorder):
    sent = 0

    def send(self, payload: bytes) -> None:
        self.sent += len(payload)
        super().send(payload)


def test_text_goes_to_stdout_and_everything_else_to_stderr(known: Studio) -> None:
    said = finished(known.start("load", "amber", known.ports[0]))
    assert (
        len(said.stdout.splitlines()) == 1
        and "amber" in said.stdout
        and "amber: starting " in said.stderr
    )
    quiet = finished(known.start("-q", "unload", known.ports[0]))
    assert quiet.stderr == "" and quiet.exit == 0
