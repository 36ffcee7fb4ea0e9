"""Two operators at once: one wins the port, and the other is told who; other ports are not
affected."""

from __future__ import annotations

import os
import pwd
import re
import subprocess

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio, finished
from tests.support.survivors import living
from tests.support.watching import RegistryWatch, job, refused

SLOW_S = 2.0


def begin(studio: Studio, *words: object) -> subprocess.Popen[str]:
    return studio.start("--json", *words)


def both(one: subprocess.Popen[str], other: subprocess.Popen[str]) -> list[Answer]:
    """How they ended, the winner first."""
    return sorted((finished(one), finished(other)), key=lambda answer: answer.exit)


@pytest.mark.slow
def test_the_second_on_a_port_learns_who_holds_it_and_since_when(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=SLOW_S)
    first = begin(known, "load", "amber", port)
    held = job(known, port, "wait")
    error = refused(finished(begin(known, "load", "jade", port, "--replace")), 6, "Locked")
    assert first.poll() is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", held["since"])
    who = {
        "who": pwd.getpwuid(os.getuid()).pw_name,
        "from": os.uname().nodename,
        "why": f"load amber {port}",
    }
    assert error["holder"].items() >= {**who, "since": held["since"]}.items()
    assert all(text in error["message"] for text in (*who.values(), held["since"]))
    assert finished(first).exit == 0
    assert known.assignments() == {"amber": port} and known.ask(port) == "I am tiny/amber"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["unload", "unload-all"])
def test_nobody_unloads_under_a_load(known: Studio, fake_runtime: FakeRuntime, verb: str) -> None:
    port = known.ports[0]
    fake_runtime.behaves("tiny--amber", load_s=SLOW_S)
    first = begin(known, "load", "amber", port)
    job(known, port, "wait")
    answer = finished(begin(known, *(["unload", port] if verb == "unload" else ["unload-all"])))
    told = answer.error if verb == "unload" else answer.result["ports"][0]["error"]
    assert answer.exit == (6 if verb == "unload" else 1), answer
    assert told["kind"] == "Locked" and "load amber" in told["message"]
    assert finished(first).exit == 0 and known.port_row(port)["state"] == "ready"


def test_of_two_at_the_same_moment_one_wins(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    fake_runtime.behaves(load_s=SLOW_S)
    with RegistryWatch(known) as watch:
        started = begin(known, "load", "amber", port), begin(known, "load", "jade", port)
        won, lost = both(*started)
    assert won.exit == 0, won
    assert refused(lost, 6, "Locked")["holder"]["why"] == f"load {won.result['entry']} {port}"
    assert watch.faults == [] and len(fake_runtime.journal("started")) == 1
    assert known.assignments() == {won.result["entry"]: port}
    assert known.ask(port) == f"I am tiny/{won.result['entry']}"


@pytest.mark.slow
def test_two_swaps_at_the_same_moment(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    known.must("load", "topaz", port)
    fake_runtime.behaves("", load_s=SLOW_S)
    with RegistryWatch(known) as watch:
        words = "--replace", "--grace", 5
        won, lost = both(
            begin(known, "load", "amber", port, *words), begin(known, "load", "jade", port, *words)
        )
    assert won.exit == 0, won
    refused(lost, 6, "Locked")
    assert watch.seen == [{"topaz": port}, {won.result["entry"]: port}] and watch.faults == []


@pytest.mark.slow
def test_different_ports_both_succeed(known: Studio, fake_runtime: FakeRuntime) -> None:
    one, other = known.ports[:2]
    fake_runtime.behaves(load_s=1)
    with RegistryWatch(known) as watch:
        answers = both(begin(known, "load", "amber", one), begin(known, "load", "jade", other))
    assert [answer.exit for answer in answers] == [0, 0], answers
    assert watch.faults == [] and known.assignments() == {"amber": one, "jade": other}
    assert [known.ask(one), known.ask(other)] == ["I am tiny/amber", "I am tiny/jade"]


@pytest.mark.slow
def test_one_model_on_two_ports_has_one_winner_and_the_other_port_keeps_its_model(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    one, other = known.ports[:2]
    known.must("load", "jade", other)
    occupant = known.port_row(other)["pid"]
    fake_runtime.behaves(load_s=1)
    with RegistryWatch(known) as watch:
        won, lost = both(
            begin(known, "load", "amber", one), begin(known, "load", "amber", other, "--replace")
        )
    assert won.exit == 0, won
    code, kind = (7, "AssignmentConflict") if lost.exit == 7 else (6, "Locked")
    assert refused(lost, code, kind)["port"] == won.result["port"]
    left = {"amber": one, "jade": other} if won.result["port"] == one else {"amber": other}
    assert watch.faults == [] and known.assignments() == left
    # Who loses has stopped nothing on the way.
    assert won.result["port"] == other or known.port_row(other)["pid"] == occupant
    rows = {row["entry"]: row for row in known.must("status")["ports"] if row["entry"]}
    assert {name: (row["port"], row["state"]) for name, row in rows.items()} == {
        name: (port, "ready") for name, port in left.items()
    }
    started = {record["pid"] for record in fake_runtime.journal("started")}
    assert started & living(known.folder).keys() == {row["pid"] for row in rows.values()}
