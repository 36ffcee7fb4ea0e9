"""-q, the same for every verb: no progress; answers in full; only news of changes and checks."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.cli.root import VERBS
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")

PHASE = {"event": "phase", "phase": "wait", "message": "waiting"}
KEPT = {"action": "keep", "entry": "a", "port": 8100, "reason": "known", "applied": False}
ADDED = {"action": "add", "entry": "b", "port": None, "reason": "o/b", "applied": True}
SET = {**ADDED, "action": "set", "entry": "a", "reason": "runtime: not set -> x"}
SAME: dict[str, Any] = {"port": 8100, "entry": "a", "state": "ready", "changed": False}
FREE = {**SAME, "entry": None, "state": "free"}
STALE = {"drift": "stale", "port": 8100, "entry": "a", "reason": "gone"}
CHECKED = {"port": 8100, "ok": True, "checks": [{"check": "plain", "ok": True, "detail": "ok"}]}
FAILED = {"port": 8101, "ok": False, "checks": [{"check": "plain", "ok": False, "detail": "empty"}]}
JOB = {"why": "load a 8100", "state": "done", "message": ""}
NOTHING: dict[str, Any] = {"actions": [], "drift": []}

# Verbs that answer a question, or always change something.
ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"ports": [FREE], "memory": None, "drift": [STALE]}),
    ("list", {"models": [{"name": "a", "repo_id": "o/a"}]}),
    ("disk", {"items": [], "disks": [], "total_bytes": 0, "prunable_bytes": 0}),
    ("show a", {"entry": {"name": "a"}, "port": None}),
    ("fit a", {"entry": "a", "fits": True}),
    ("logs 8100", {"lines": ["Starting"], "found": 1}),
    ("jobs", {"jobs": []}),
    ("history", {"changes": []}),
    ("follow", JOB),
    ("cancel", JOB),
    ("lock", {"locks": []}),
    ("restart 8100", {"ports": [{**SAME, "changed": True, "ok": True}]}),
    ("authorize --verbs status", {"command": "sh", "warnings": []}),
    ("rename a b", {"entry": {"name": "b"}, "previous": "a", "changed": True}),
    ("remove a", {"entry": "a", "changed": True}),
    ("hosts", {}),
    ("cron", {}),
    ("completion bash", {}),
    ("version", {}),
]
# Verbs that change something or check: their result without news, and one with news, of which -q
# prints the lines with this word.
NEWS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("load a 8100", SAME, {**SAME, "changed": True}, "8100"),
    ("unload 8100", FREE, {**FREE, "changed": True, "entry": "a"}, "8100"),
    ("unload-all", {"ports": [FREE]}, {"ports": [FREE, {**SAME, "changed": True}]}, "8100"),
    ("init", {**NOTHING, "actions": [KEPT]}, {**NOTHING, "actions": [KEPT, ADDED]}, "added b"),
    ("init --dry-run", {**NOTHING, "actions": [KEPT]}, {**NOTHING, "actions": [ADDED]}, "add b"),
    ("register a o/a", {**NOTHING, "actions": [KEPT]}, {**NOTHING, "actions": [ADDED]}, "added b"),
    ("set a runtime=x", {"changed": False}, {"changed": True, "actions": [SET]}, "set a"),
    ("set a runtime=x --dry-run", NOTHING, {**NOTHING, "actions": [ADDED]}, "add b"),
    (
        "pull o/a",
        {"path": "/a", "actions": [KEPT]},
        {"path": "/a", "actions": [ADDED]},
        "added b",
    ),
    ("reconcile", NOTHING, {**NOTHING, "drift": [STALE]}, "stale 8100"),
    ("reconcile --dry-run", NOTHING, {**NOTHING, "drift": [STALE]}, "stale 8100"),
    (
        "status --check",
        {"ports": [FREE], "memory": None, "drift": []},
        {"ports": [FREE], "memory": None, "drift": [STALE]},
        "8100",
    ),
    (
        "verify",
        {"ports": [CHECKED], "entries": [{"entry": "a", "ok": True}]},
        {"ports": [CHECKED, FAILED], "entries": []},
        "8101",
    ),
]
# Tested where they are: doctor's own checks, the Hub, the demo, and the plan of a host.
ELSEWHERE = {"doctor", "search", "demo", "plan", "apply"}


def run(argv: str, result: dict[str, Any], *more: str) -> Ended:
    return Ended(Studio(result, events=(PHASE,)), *argv.split(), *more)


def test_every_verb_is_here() -> None:
    here = {argv.split()[0] for argv, *_ in (*ANSWERS, *NEWS)}
    assert here | ELSEWHERE >= VERBS.keys()


@pytest.mark.parametrize(("argv", "result"), ANSWERS, ids=[argv for argv, _ in ANSWERS])
def test_an_answer_is_printed_without_progress(argv: str, result: dict[str, Any]) -> None:
    usual, quiet = run(argv, result), run(argv, result, "-q")
    assert quiet.out == usual.out != ""
    assert quiet.err == "" and quiet.code == usual.code == 0


@pytest.mark.parametrize(("argv", "nothing", "news", "word"), NEWS, ids=[argv for argv, *_ in NEWS])
def test_only_news_is_printed(
    argv: str, nothing: dict[str, Any], news: dict[str, Any], word: str
) -> None:
    assert run(argv, nothing).out != "" and "waiting" in run(argv, nothing).err
    silent = run(argv, nothing, "-q")
    assert (silent.code, silent.out, silent.err) == (0, "", "")
    usual, quiet = run(argv, news), run(argv, news, "-q")
    assert quiet.code == usual.code and "waiting" not in quiet.err
    lines = quiet.out.splitlines()
    assert lines and all(word in line for line in lines)
    assert {line.strip() for line in lines} <= {line.strip() for line in usual.out.splitlines()}


def test_a_skipped_port_is_not_news() -> None:
    left = {"port": 8101, "ok": True, "state": "left", "pid": 7, "changed": False}
    assert "skipped" in run("unload-all --registered", {"ports": [left]}).out
    assert run("unload-all --registered", {"ports": [left]}, "-q").out == ""
