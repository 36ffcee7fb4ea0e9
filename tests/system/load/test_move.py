"""load --move takes a model from the port where it serves to another one, and back if it does not
start there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio, eventually
from tests.support.terminal import Terminal
from tests.support.watching import RegistryWatch, job


@pytest.fixture
def one(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    """amber serves on the first port."""
    made = make_studio(None, {**studio_runtime, "grace_s": 3})
    init_copies.init(made)
    ask(made, "load", model="amber", port=made.ports[0])
    return made


def move(studio: Studio, port: int, **args: Any) -> dict[str, Any]:
    return ask(studio, "load", model="amber", port=port, move=True, **args)


def test_the_old_port_is_freed_and_the_new_one_serves(one: Studio) -> None:
    old, new, _ = one.ports
    error = refusal(one, "load", model="amber", port=new)
    assert (error.kind, error.fields["port"]) == ("AssignmentConflict", old)
    assert error.hint == f"mlxops load amber {new} --move"
    planned = move(one, new, dry_run=True)
    assert [(a["action"], a["entry"], a["port"]) for a in planned["actions"]] == [
        ("unload", "amber", old),
        ("start", "amber", new),
    ]
    assert one.assignments() == {"amber": old}
    with RegistryWatch(one) as watch:
        moved = move(one, new)
    assert (moved["changed"], moved["moved_from"], moved["restarted"]) == (True, old, False)
    assert watch.faults == [] and watch.seen == [{"amber": old}, {}, {"amber": new}]
    assert one.entry("amber")["wanted"] == new
    now = rows(one)
    assert (now[old]["state"], now[old]["drift"], now[new]["state"]) == ("free", None, "ready")
    assert one.ask(new, one.slot(new)) == "I am tiny/amber"
    assert move(one, new)["changed"] is False
    assert ask(one, "load", model="jade", port=old, move=True)["moved_from"] is None


def test_it_is_back_on_its_old_port_if_it_does_not_start(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    old, new, _ = one.ports
    ask(one, "load", model="jade", port=new)
    assert refusal(one, "load", model="amber", port=new, move=True).kind == "PortBusy"
    fake_runtime.behaves(f"--port {new}", die_after_s=0.1, load_s=100)
    fake_runtime.behaves("tiny--jade")
    with RegistryWatch(one) as watch:
        error = refusal(one, "load", model="amber", port=new, move=True, replace=True)
    assert error.kind == "NotReady" and watch.faults == []
    (row,) = error.fields["evicted"]
    assert (row["port"], row["outcome"]) == (old, "amber serves again")
    assert one.assignments().get("amber") == old and one.entry("amber")["wanted"] == old
    assert one.ask(old, one.slot(old)) == "I am tiny/amber"


@pytest.mark.slow
def test_nothing_is_stopped_where_the_old_port_cannot_be_left(one: Studio) -> None:
    old, new, _ = one.ports
    ask(one, "set", name="amber", changes={"slot": str(old)})
    error = refusal(one, "load", model="amber", port=new, move=True)
    assert error.fields["slot"] == old and "--force" in error.hint
    ask(one, "set", name="amber", changes={"slot": ""})
    ask(one, "load", model="jade", port=old, replace=True)
    server = rows(one)[old]["pid"]

    def exchange(registry: dict[str, Any]) -> None:
        models = registry["models"]
        models["amber"].update(port=old)
        models["jade"].update(port=None)

    one.edit(exchange)
    for dry in (True, False):
        error = refusal(one, "load", model="amber", port=new, move=True, dry_run=dry)
        assert (error.kind, error.hint) == ("PortBusy", f"mlxops unload {old}")
    assert rows(one)[old]["pid"] == server and one.assignments() == {"amber": old}


@pytest.mark.slow
def test_a_move_that_was_killed_is_repeated_by_its_command(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    old, new, _ = one.ports
    fake_runtime.behaves(f"--port {new}", load_s=2)
    load = one.start("load", "amber", new, "--move")
    os.kill(job(one, new, "wait")["pid"], signal.SIGKILL)
    load.communicate()
    eventually(lambda: rows(one)[new]["state"] == "ready")
    assert rows(one)[old]["state"] == "free"
    assert ask(one, "load", model="amber", port=new, move=True)["state"] == "ready"
    assert one.entry("amber")["wanted"] == new and rows(one)[old]["drift"] is None


@pytest.mark.slow
def test_a_person_is_asked(one: Studio) -> None:
    old, new, _ = one.ports
    load = Terminal(one, "load", "amber", new)
    load.until("[y/N]")
    assert f"amber is assigned to port {old}. Move it to {new}?" in load.shown
    load.type(b"y\n")
    assert load.end() == 0 and one.assignments() == {"amber": new}
    assert f"moved from {old}" in load.shown
