"""What cron mails: a lasting fault once, then once a day, and once when it is over."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import HostUnreachable, LinkLost, MlxopsError, RegistryInvalid
from mlxops.unattended.faults import Fault
from mlxops.unattended.reported import (
    MAX_BYTES,
    MAX_FAULTS,
    REPEAT_INTERVAL_S,
    ReportedFaults,
    lines,
)
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
AGAIN = "mlxops load qwen 8100"
LOST: dict[str, Any] = {
    "drift": "lost",
    "port": 8100,
    "entry": "qwen",
    "reason": "gone",
    "next": AGAIN,
}
HUNG: dict[str, Any] = {
    "state": "unresponsive",
    "port": 8101,
    "entry": "b",
    "reason": "late",
    "next": "mlxops x",
}
CLEARED: dict[str, Any] = {
    "action": "clear",
    "entry": "qwen",
    "port": 8100,
    "reason": "its server is gone",
    "applied": True,
    "next": AGAIN,
}


def result(*wrong: dict[str, Any], actions: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "actions": list(actions),
        "drift": [one for one in wrong if "drift" in one],
        "broken": [one for one in wrong if "state" in one],
    }


def run(answer: dict[str, Any] | BaseException, *more: str) -> Ended:
    return Ended(Studio(answer), "reconcile", "-q", *more)


def said(answer: dict[str, Any] | BaseException, *more: str) -> str:
    ended = run(answer, *more)
    return ended.out + ended.err


pytestmark = pytest.mark.usefixtures("lab")


def test_a_steady_fault_is_told_once_and_its_end_once() -> None:
    assert said(result(LOST, HUNG)).splitlines() == [
        "lost 8100 qwen: gone (next: mlxops load qwen 8100, or mlxops unload 8100 to forget it)",
        "unresponsive 8101 b: late (next: mlxops x)",
    ]
    assert said(result(LOST, HUNG)) == said(result(LOST, HUNG)) == ""
    assert said(result(HUNG)) == "resolved: lost 8100 qwen\n"
    assert said(result(LOST, HUNG)).startswith("lost 8100")


def test_without_q_everything_is_told_every_time() -> None:
    for _ in range(2):
        assert "lost 8100 qwen" in Ended(Studio(result(LOST)), "reconcile").out
    assert said(result(LOST)) and not said(result(LOST))
    assert "lost 8100 qwen" in Ended(Studio(result(LOST)), "reconcile").out


def test_a_document_is_whole_every_time() -> None:
    for _ in range(2):
        assert run(result(LOST), "--json").document["result"]["drift"] == [LOST]


def test_what_was_cleared_is_told_once_as_a_change_and_not_again_as_lost() -> None:
    assert len(said(result(LOST, actions=(CLEARED,))).splitlines()) == 1
    assert said(result(LOST)) == ""
    assert said(result()) == "resolved: lost 8100 qwen\n"


def test_what_is_lost_and_then_held_is_not_over_in_between() -> None:
    assert said(result(LOST)).startswith("lost 8100")
    assert said(result(LOST | {"reason": "gone; its last start failed: too slow"})) == ""
    held = LOST | {"drift": "held", "next": "mlxops apply 8100"}
    assert said(result(held)).splitlines() == [
        "held 8100 qwen: gone (next: mlxops apply 8100, or mlxops unload 8100 to forget it)"
    ]
    assert said(result(held)) == ""
    assert said(result()) == "resolved: held 8100 qwen\n"
    assert said(result(held)).startswith("held 8100") and said(result(LOST)).splitlines()[1:] == [
        "resolved: held 8100 qwen"
    ]


def test_a_start_is_told_each_time_and_one_that_fails_with_what_is_lost() -> None:
    row = {"port": 8100, "entry": "qwen", "wait_s": None}
    begun = CLEARED | {"action": "start", "reason": "ready after 9 s", "next": ""}
    started = result(actions=(begun,)) | {"restarts": [{**row, "verdict": "ready"}]}
    for _ in range(2):
        assert said(started) == "started qwen on 8100: ready after 9 s\n"
    failed = result(LOST, actions=(CLEARED,)) | {"restarts": [{**row, "verdict": "failed"}]}
    freed, lost = said(failed).splitlines()
    assert freed.startswith("freed 8100 (qwen)") and lost.startswith("lost 8100 qwen: gone")


def test_what_waits_is_told_to_a_person_only() -> None:
    row = {"port": 8100, "entry": "qwen", "verdict": "wait", "reason": "started once"}
    waits = result(LOST) | {"restarts": [{**row, "wait_s": 60.0}]}
    told = Ended(Studio(waits), "reconcile", "--restart").out.splitlines()
    assert told[1:] == ["not started 8100 qwen: started once; again in 1 m 00 s"]
    assert len(said(waits, "--restart").splitlines()) == 1


def test_the_exit_status_does_not_depend_on_what_is_told() -> None:
    for out in (True, False):
        ended = run(result(LOST), "--check")
        assert (ended.code, bool(ended.out), bool(ended.err)) == (11, out, out)


@pytest.mark.parametrize(
    "change", [{"reason": "another"}, {"entry": "other"}, {"port": 8101}, {"drift": "orphan"}]
)
def test_a_fault_that_changed_is_told_again(change: dict[str, Any]) -> None:
    before = LOST | {"drift": "mismatch"}
    assert said(result(before))
    assert said(result(before | change))


def test_the_words_of_an_error_are_no_change() -> None:
    assert said(result(HUNG))
    assert said(result(HUNG | {"reason": "connection reset"})) == ""


@pytest.mark.parametrize(
    "error", [HostUnreachable("it is down", "wake it"), RegistryInvalid("not JSON", "cp a b")]
)
def test_a_run_that_fails_in_the_same_way_is_told_once_and_when_it_is_over(
    error: MlxopsError,
) -> None:
    assert said(result(LOST))
    first = run(error)
    assert (
        (first.code, first.out) == (error.exit_code, "")
        and error.message in first.err
        and error.hint in first.err
    )
    again = run(error)
    assert (again.code, again.out, again.err) == (error.exit_code, "", "")
    # The ports were not seen meanwhile: what was known of them is still told.
    assert said(result(LOST)) == f"resolved: {error.message}\n"


def test_a_link_breaks_in_many_ways_and_is_one_fault() -> None:
    assert (
        said(HostUnreachable("no route"))
        and not said(LinkLost("broke"))
        and not said(HostUnreachable("refused"))
    )
    assert said(RegistryInvalid("not JSON")) and said(HostUnreachable("no route"))


def test_what_could_not_be_done_is_told_once() -> None:
    held = CLEARED | {"applied": False, "reason": "left alone: locked"}
    assert said(result(actions=(held,))) and not said(result(actions=(held,)))


def fault(label: str = "lost 8100", repeats: bool = True) -> Fault:
    return Fault("port " + label[:60], label, label + " told", repeats=repeats)


def at(path: Path, moment: float) -> ReportedFaults:
    return ReportedFaults(path, lambda: moment)


def news(path: Path, moment: float, *faults: Fault) -> list[str]:
    memory = at(path, moment)
    try:
        return lines(memory.news(list(faults), lambda key: True))
    finally:
        memory.save()


def test_a_fault_that_lasts_is_told_once_a_day_whatever_the_clock_does(tmp_path: Path) -> None:
    path = tmp_path / "told"
    assert news(path, 1000.0, fault()) == ["lost 8100 told"]
    assert news(path, 1000.0 + REPEAT_INTERVAL_S - 1, fault()) == []
    assert news(path, 1001.0 + REPEAT_INTERVAL_S, fault()) == ["lost 8100 told"]
    assert news(path, 1002.0 + REPEAT_INTERVAL_S, fault()) == []
    assert news(path, 5.0, fault()) == ["lost 8100 told"]
    assert news(path, 6.0, fault()) == []


def test_a_fault_that_does_not_repeat_is_told_once_and_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "told"
    off = fault("the host is off", repeats=False)
    assert news(path, 1000.0, off) == ["the host is off told"]
    assert news(path, 1000.0 + 30 * REPEAT_INTERVAL_S, off) == []
    assert news(path, 1000.0 + 31 * REPEAT_INTERVAL_S) == ["resolved: the host is off"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version": 1, "told": {"port lost 8100": {"at": 1.0, "label": "x"}}}',
        b'{"version": 2, "reported": [1]}',
        b'{"version": 2, "reported": {"a": 1}}',
        b'{"version": 2, "reported": {"a": {"at": "x"}}}',
        b'{"version": 2, "reported": {"port lost 8100": {"at": 1.0, "label": "x"}}}',
        b"[" * 100000,
        os.urandom(512),
    ],
)
def test_a_file_that_says_nothing_is_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "told"
    path.write_bytes(content)
    assert news(path, 1.0, fault()) == ["lost 8100 told"]
    assert news(path, 2.0, fault()) == []


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "told"
    news(path, 1.0, *(fault(f"{n} " + "x" * 5000) for n in range(MAX_FAULTS + 50)))
    assert len(json.loads(path.read_text())["reported"]) == MAX_FAULTS
    assert path.stat().st_size < MAX_BYTES


def test_where_it_cannot_be_kept_everything_is_told(tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "folder" / "told"
    assert news(nowhere, 1.0, fault()) == news(nowhere, 2.0, fault()) == ["lost 8100 told"]
    assert not nowhere.parent.exists()
