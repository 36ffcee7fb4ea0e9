"""rename gives an entry another name and changes nothing else: not its server, not its port, not
what is known of its starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio
from tests.support.supervising import journal, rewrite
from tests.support.watching import job


@pytest.fixture
def one(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    made = make_studio(None, {**studio_runtime, "grace_s": 3})
    init_copies.init(made)
    return made


def drop_slot(studio: Studio, port: int) -> None:
    """Take the slot of a port out of the host file."""
    path = studio.hosts_dir / "studio.toml"
    path.write_text(re.sub(rf"\[slots\.{port}\]\n[^\[]*", "", path.read_text()))


def test_a_running_entry_keeps_server_port_place_and_settings(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    before = one.registry()["models"]
    planned = ask(one, "rename", name="amber", new="ruby", dry_run=True)
    assert (planned["changed"], planned["entry"]["name"]) == (False, "ruby")
    assert one.registry()["models"] == before
    renamed = ask(one, "rename", name="tiny/amber", new="ruby")
    assert (renamed["changed"], renamed["previous"], renamed["warnings"]) == (True, "amber", [])
    after = one.registry()["models"]
    assert list(after) == ["ruby" if name == "amber" else name for name in before]
    assert after["ruby"] == before["amber"]
    row = rows(one)[port]
    assert (row["entry"], row["state"], row["drift"]) == ("ruby", "ready", None)
    assert row["pid"] == before["amber"]["process"]["pid"]
    last = json.loads((one.hub / "registry.history.jsonl").read_text().splitlines()[-1])
    assert last["what"] == "rename amber ruby"


def test_it_is_an_error_to_take_a_name_that_means_something_else(one: Studio) -> None:
    for new, kind in {
        "jade": "AssignmentConflict",
        "Jade": "AssignmentConflict",
        one.slot(one.ports[1]): "AssignmentConflict",
        "amber": "Usage",
        "8100": "Usage",
        "8100-8102": "Usage",
        "a,b": "Usage",
        "a b": "Usage",
        "-x": "Usage",
        "`id`": "Usage",
        "it's": "Usage",
        "": "Usage",
    }.items():
        assert refusal(one, "rename", name="amber", new=new).kind == kind, new
    assert refusal(one, "rename", name="amb", new="ruby").kind == "ModelUnknown"
    assert "ruby" not in one.registry()["models"]
    ask(one, "rename", name="amber", new="Amber")
    ask(one, "set", name="Amber", changes={"slot": str(one.ports[1])})
    ask(one, "rename", name="Amber", new=one.slot(one.ports[1]))


def test_the_starts_on_record_follow(one: Studio) -> None:
    moment = {"at": 1.0, "up_s": 1.0, "boot": "b", "outcome": "failed", "reason": "", "pid": 1}
    line = {**moment, "id": "1", "port": one.ports[0], "start_time": None, "start": None}
    rewrite(one, [{**line, "entry": "amber"}, {**line, "id": "2", "entry": "jade"}])
    ask(one, "rename", name="amber", new="ruby")
    assert [(start["id"], start["entry"]) for start in journal(one)] == [
        ("1", "ruby"),
        ("2", "jade"),
    ]


@pytest.mark.slow
def test_clients_that_ask_for_the_entry_s_name_are_not_cut_off(one: Studio) -> None:
    port = one.ports[0]
    drop_slot(one, port)
    ask(one, "load", model="amber", port=port)
    refused = refusal(one, "rename", name="amber", new="ruby")
    assert (refused.kind, refused.fields["port"]) == ("AssignmentConflict", port)
    assert f"mlxops unload {port}" in refused.hint and "amber" in one.registry()["models"]
    ask(one, "unload", port=port)
    ask(one, "set", name="amber", changes={"slot": str(port)})
    (warning,) = ask(one, "rename", name="amber", new="ruby")["warnings"]
    assert f"port {port}" in warning and "ask for ruby, not for amber" in warning
    assert ask(one, "load", model="ruby", port=port)["served_model"] == "ruby"


@pytest.mark.slow
def test_not_while_a_load_works_on_it(one: Studio, fake_runtime: FakeRuntime) -> None:
    fake_runtime.behaves("tiny--amber", load_s=30)
    load = one.start("load", "amber", one.ports[0])
    job(one, one.ports[0], "wait")
    assert refusal(one, "rename", name="amber", new="ruby").kind == "Locked"
    ask(one, "cancel")
    load.communicate()
    ask(one, "rename", name="amber", new="ruby")


def test_what_is_printed(one: Studio) -> None:
    def shown(*words: str) -> str:
        return one.start("rename", *words).communicate()[0].strip()

    assert shown("amber", "ruby", "--dry-run") == "amber would be renamed to ruby"
    assert shown("amber", "ruby") == "amber is now ruby"
