"""plan and apply with a stand-in for the call: what they send, what they ask, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.errors import Interrupted, MlxopsError, NeedsConsent, NotEnoughMemory
from tests.support.cli_standin import Ended, Studio, lab
from tests.support.planrows import GIB, plan, row, serving

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")

SELECTION = {"ports": None, "to": "both", "prune": False, "evict": False, "jobs": 2}
APPLY = {**SELECTION, "timeout_s": None, "grace_s": None}
SAME = serving(8100, "same", "a", entry="a")
SWAP = serving(8101, "swap", "old", entry="new", slot_name="jerry", reason="declared")
LOAD = row(8100, "load", entry="b")
BLOCKED = row(8100, "blocked", kind="Locked", reason="busy", hint="mlxops jobs --follow 8100")
DUE, CALM = plan(SAME, SWAP), plan(SAME)


def ended(one: dict[str, Any], ok: bool = True, **fields: Any) -> dict[str, Any]:
    return {**one, "ok": ok, "changed": False, "error": None, "duration_s": 1.0, **fields}


def done(*rows: dict[str, Any]) -> dict[str, Any]:
    return {**plan(*rows), "changed": any(one["changed"] for one in rows)}


DONE = done(ended(SAME), ended(SWAP, changed=True))
NOT_READY = {"kind": "NotReady", "message": "no", "hint": "mlxops logs 8101"}


@pytest.mark.parametrize(
    ("argv", "verb", "args"),
    [
        ("plan", "plan", SELECTION),
        (
            "plan 8100 jerry --to declared --prune --evict --jobs 3 --check",
            "plan",
            {"ports": [8100, "jerry"], "to": "declared", "prune": True, "evict": True, "jobs": 3},
        ),
        ("apply", "apply", APPLY),
        (
            "apply 8100 --to wanted --timeout 9 --grace 2 --yes",
            "apply",
            {
                **APPLY,
                "ports": [8100],
                "to": "wanted",
                "timeout_s": 9,
                "grace_s": 2,
            },
        ),
    ],
)
def test_each_makes_one_call_with_what_was_typed(
    argv: str, verb: str, args: dict[str, Any]
) -> None:
    studio = Studio(done(ended(SAME)))
    assert Ended(studio, *argv.split(), "--json").code == 0
    assert studio.asked == [(verb, args)]


@pytest.mark.parametrize(
    "argv",
    ["plan 9999", "plan --to here", "plan --jobs 0", "apply --jobs x", "apply --timeout 0"],
)
def test_bad_words_never_reach_the_host(argv: str) -> None:
    ended_ = Ended(studio := Studio(), *argv.split())
    assert (ended_.code, studio.asked) == (2, []) and "hint: " in ended_.err


@pytest.mark.parametrize("more", [(), ("--json",), ("-q",), ("8101", "--prune")])
def test_a_dry_run_prints_what_plan_prints(more: tuple[str, ...]) -> None:
    planned = Ended(Studio(DUE), "plan", *more)
    dry = Ended(Studio(DUE), "apply", "--dry-run", *more)
    if "--json" in more:
        assert planned.document["result"] == dry.document["result"] == DUE
    else:
        assert planned.out == dry.out and "8101" in dry.out
    assert planned.code == dry.code == 0


def test_the_next_command_applies_the_same_selection() -> None:
    words = ["8101", "--to", "declared", "--prune", "--evict", "--jobs", "3"]
    out = Ended(Studio(DUE), "plan", *words).out
    assert out.endswith("\nnext: mlxops apply 8101 --to declared --prune --evict --jobs 3\n")
    assert Ended(Studio(DUE), "plan").out.endswith("\nnext: mlxops apply\n")


@pytest.mark.parametrize(
    ("result", "code", "message"),
    [
        (CALM, 0, ""),
        (DUE, 11, "changes are due: 8101 swap"),
        (plan(BLOCKED, SWAP), 11, "changes are due: 8101 swap; blocked: 8100 Locked"),
        (plan(BLOCKED), 11, "blocked: 8100 Locked"),
    ],
)
def test_check_ends_with_11_where_the_plan_is_not_carried_out(
    result: dict[str, Any], code: int, message: str
) -> None:
    checked = Ended(Studio(result), "plan", "--check", "--json")
    assert checked.code == code
    assert (checked.document["error"] or {"message": ""})["message"] == message
    assert checked.document["result"] == result
    assert Ended(Studio(result), "plan").code == 0


def test_warnings_are_told_even_if_quiet() -> None:
    result = {**CALM, "warnings": ["slots 8100 and 8101 declare the same model"]}
    quiet = Ended(Studio(result), "plan", "-q")
    assert (quiet.out, quiet.err) == ("", f"warning: {result['warnings'][0]}\n")


def test_at_a_terminal_the_plan_is_shown_and_asked_about_once() -> None:
    studio = Studio(DUE, DONE)
    asked = Ended(studio, "apply", agrees=True)
    assert asked.questions == ["Stop 1 server and load 1 model?"]
    assert [verb for verb, _ in studio.asked] == ["plan", "apply"]
    assert "8101  jerry" in asked.err and "next: " not in asked.err
    assert (asked.code, asked.out) == (
        0,
        "8101 serves new, instead of old: ready after 1.0 s\n1 port changed; 1 as before\n",
    )


def test_a_no_changes_nothing() -> None:
    declined = Ended(studio := Studio(DUE), "apply", agrees=False)
    assert (declined.code, [verb for verb, _ in studio.asked]) == (1, ["plan"])
    assert declined.err.endswith("mlxops: nothing was changed: you answered no\n")


@pytest.mark.parametrize(
    ("flag", "agrees"), [("-v", None), ("--yes", True), ("--json", True), ("-y", True)]
)
def test_scripts_are_not_asked_and_have_no_limit(flag: str, agrees: bool | None) -> None:
    ended_ = Ended(studio := Studio(DONE), "apply", flag, agrees=agrees)
    assert (ended_.code, ended_.questions, studio.asked) == (0, [], [("apply", APPLY)])


def test_where_nothing_stops_nobody_is_asked() -> None:
    studio = Studio(plan(LOAD), done(ended(LOAD, changed=True)))
    ended_ = Ended(studio, "apply", agrees=True)
    assert ended_.questions == [] and ended_.err == ""
    assert studio.asked[1] == ("apply", {**APPLY, "pids": [], "ask_above_bytes": 20 * 10**9})


def test_a_large_download_is_asked_about_once() -> None:
    large = row(8100, "download", declared="o/a", download_bytes=30 * GIB)
    studio = Studio(
        plan(large), NeedsConsent("32.2 GB to download"), done(ended(large, changed=True))
    )
    assert Ended(studio, "apply", agrees=True).questions == ["32.2 GB to download. Go on?"]
    assert studio.asked[-1] == ("apply", {**APPLY, "pids": [], "ask_above_bytes": None})
    studio = Studio(plan({**SWAP, "pid": 41}, large), done(ended(SWAP), ended(large)))
    questions = Ended(studio, "apply", agrees=True).questions
    assert questions == ["Stop 1 server and load 2 models (32.2 GB to download)?"]
    assert studio.asked[-1] == ("apply", {**APPLY, "pids": [41], "ask_above_bytes": 30 * GIB})


@pytest.mark.parametrize(
    ("rows", "argv", "code", "message"),
    [
        ([ended(SAME)], "apply", 0, ""),
        ([ended(SAME), ended(SWAP, ok=False, error=NOT_READY)], "apply", 1, "not as planned: 8101"),
        ([ended(BLOCKED, ok=False), ended(SWAP, changed=True)], "apply", 1, "not as planned: 8100"),
        ([ended(SWAP, ok=False, error=NOT_READY)], "apply jerry", 8, "no"),
        ([ended(SWAP, ok=False, error=NOT_READY)], "apply 8100 8101", 1, "not as planned: 8101"),
    ],
)
def test_the_exit_code_says_whether_all_is_as_planned(
    rows: list[dict[str, Any]], argv: str, code: int, message: str
) -> None:
    result = done(*rows)
    answer = Ended(Studio(result), *argv.split(), "--json")
    assert (answer.code, answer.document["result"]) == (code, result)
    assert (answer.document["error"] or {"message": ""})["message"] == message


MEMORY = {"now_bytes": 1, "peak_bytes": 2 * GIB, "most_bytes": GIB, "fits": False}
BIG = plan(LOAD | {"need_bytes": 2 * GIB}, memory=MEMORY)


@pytest.mark.parametrize("agrees", [None, True])
def test_what_does_not_fit_is_shown_with_its_sum_and_ends_with_10(agrees: bool | None) -> None:
    refused = NotEnoughMemory("the models do not fit together", "mlxops apply --dry-run", **BIG)
    answers: list[dict[str, Any] | BaseException] = [BIG] if agrees else []
    ended_ = Ended(Studio(*answers, refused), "apply", agrees=agrees)
    assert (ended_.code, ended_.questions) == (10, [])
    assert ended_.out.count("does not fit") == 1 and "together" in ended_.out
    assert ended_.err.startswith("mlxops: the models do not fit together")


@pytest.mark.parametrize("wrap", [False, True])
def test_ctrl_c_shows_what_was_done_and_undone(wrap: bool) -> None:
    undone = {"kind": "Interrupted", "message": "cancelled; old serves again", "hint": ""}
    result = done(ended(LOAD, changed=True), ended(SWAP, ok=False, error=undone))
    outcome: dict[str, Any] = {"outcome": {"result": result}} if wrap else result
    ended_ = Ended(Studio(Interrupted("interrupted", **outcome)), "apply")
    assert ended_.code == 130
    assert ended_.out.splitlines() == [
        "8100 serves b: ready after 1.0 s",
        "8101 undone: cancelled; old serves again",
        "1 port changed, 1 undone",
    ]


def test_an_error_before_the_plan_is_only_an_error() -> None:
    with_code_5 = MlxopsError("the registry is not JSON")
    ended_ = Ended(Studio(with_code_5), "apply")
    assert (ended_.code, ended_.out) == (1, "")
