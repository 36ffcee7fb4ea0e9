"""A new model fails to start: the previous one answers again, and the error says why."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import is_free
from tests.support.studio import Studio, finished
from tests.support.watching import RegistryWatch

NEVER = 1000.0
FAILURES = {
    "dies while it loads": {"load_s": NEVER, "die_after_s": 0.3},
    "dies when it listens": {"listen_early": True, "hang": ["/health"], "die_after_s": 1.0},
    "is never ready": {"load_s": NEVER},
    "listens and is never ready": {"listen_early": True, "status": {"/health": 503}},
    "does not answer a chat": {"status": {"/v1/chat/completions": 500}},
    "answers to another name": {"served_name": "somebody-else"},
}


def failed(answer_exit: int, document: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = document["error"]
    assert (answer_exit, error["kind"]) == (8, "NotReady"), document
    assert error["hint"]
    return error


@pytest.fixture
def serving(known: Studio) -> Studio:
    """amber serves on the first port."""
    known.must("load", "amber", known.ports[0])
    return known


@pytest.mark.slow
@pytest.mark.parametrize("how", FAILURES)
def test_the_previous_model_is_back_when_the_new_one(
    how: str, serving: Studio, fake_runtime: FakeRuntime
) -> None:
    port = serving.ports[0]
    fake_runtime.behaves("tiny--jade", **FAILURES[how])
    with RegistryWatch(serving) as watch:
        answer = serving.mlxops("load", "jade", port, "--replace", "--timeout", 2)
    error = failed(answer.exit, answer.document)
    assert error["rollback"].startswith("amber serves again")
    assert watch.faults == [] and serving.assignments() == {"amber": port}
    assert serving.ask(port, serving.slot(port)) == "I am tiny/amber"
    row = serving.port_row(port)
    assert (row["state"], row["drift"], row["entry"]) == ("ready", None, "amber")


@pytest.mark.slow
def test_its_log_is_shown_to_people_and_to_programs(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--jade", **FAILURES["dies while it loads"])
    answer = serving.mlxops("load", "jade", serving.ports[0], "--replace")
    assert "RuntimeError: died as asked" in failed(answer.exit, answer.document)["log"]
    shown = finished(serving.start("load", "jade", serving.ports[0], "--replace"))
    assert shown.exit == 8 and shown.stdout == ""
    assert "RuntimeError: died as asked" in shown.stderr and "amber serves again" in shown.stderr


@pytest.mark.slow
def test_the_hint_does_not_name_the_log_of_the_restarted_server(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    port = serving.ports[0]
    fake_runtime.behaves("tiny--jade", **FAILURES["is never ready"])
    answer = serving.mlxops("load", "jade", port, "--replace", "--timeout", 1)
    error = failed(answer.exit, answer.document)
    assert error["hint"] == f"mlxops status {port} (the failed server's log is empty)"


@pytest.mark.slow
def test_a_runtime_that_starts_no_longer_stops_nothing(
    serving: Studio, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    """Its help is cached, and a module outside its environment has gone since."""
    port, gone = serving.ports[0], tmp_path / "dep"
    gone.touch()
    text = fake_runtime.program.read_text()
    stamp = fake_runtime.program.stat()
    needs = (
        f"import sys\nimport os; os.path.exists({str(gone)!r}) or "
        f"sys.exit('ModuleNotFoundError: dep')\n"
    )
    fake_runtime.program.write_text(text.replace("import sys\n", needs, 1))
    os.utime(fake_runtime.program, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    serving.must("load", "amber", port, "--replace")
    before = fake_runtime.journal("signal")
    gone.unlink()
    for more in ((), ("--dry-run",)):
        answer = serving.mlxops("load", "jade", port, "--replace", *more)
        assert answer.exit == 1 and "ModuleNotFoundError: dep" in answer.error["message"], answer
    assert fake_runtime.journal("signal") == before and serving.assignments() == {"amber": port}
    assert serving.ask(port, serving.slot(port)) == "I am tiny/amber"


@pytest.mark.slow
def test_no_rollback_leaves_the_port_empty(serving: Studio, fake_runtime: FakeRuntime) -> None:
    port = serving.ports[0]
    fake_runtime.behaves("tiny--jade", **FAILURES["dies while it loads"])
    answer = serving.mlxops("load", "jade", port, "--replace", "--no-rollback")
    assert failed(answer.exit, answer.document)["rollback"] == "the port is empty"
    assert serving.assignments() == {} and is_free(port)
    assert serving.port_row(port)["state"] == "free"


@pytest.mark.slow
def test_a_previous_model_that_does_not_come_back_is_told_of(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    port = serving.ports[0]
    fake_runtime.behaves(**FAILURES["dies while it loads"])
    answer = serving.mlxops("load", "jade", port, "--replace")
    assert "amber could not be restarted" in failed(answer.exit, answer.document)["rollback"]
    assert serving.assignments() == {} and is_free(port)
    lost = serving.must("reconcile")["drift"]
    assert [(one["drift"], one["entry"], one["next"]) for one in lost] == [
        ("lost", "amber", f"mlxops apply {port}")
    ]


def test_a_death_is_known_within_a_second(known: Studio, fake_runtime: FakeRuntime) -> None:
    fake_runtime.behaves(**FAILURES["dies while it loads"])
    answer = known.mlxops("load", "jade", known.ports[0])
    ended = time.time()
    failed(answer.exit, answer.document)
    assert ended - fake_runtime.journal("died")[0]["time"] < 1.0


def test_what_fails_before_anything_is_touched_leaves_the_occupant_alone(
    serving: Studio, fake_runtime: FakeRuntime
) -> None:
    serving.edit(lambda r: r["models"]["jade"].update(tool_call_parser="no-such-parser"))
    answer = serving.mlxops("load", "jade", serving.ports[0], "--replace")
    assert answer.exit == 1 and "no-such-parser" in answer.error["message"]
    assert fake_runtime.journal("signal") == [] and len(fake_runtime.journal("started")) == 1
