"""A word with two meanings is refused, and verbs that stop or change something accept only full
names."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from mlxops import session
from mlxops.hosts import files as hosts
from tests.support.asking import ask, refusal
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio, eventually


@pytest.fixture
def one(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    """A host on this machine with entries for the tiny models; slots are called slot-PORT."""
    made = make_studio(None, studio_runtime)
    init_copies.init(made)
    return made


def rename(studio: Studio, old: str, new: str) -> None:
    def change(registry: dict[str, Any]) -> None:
        registry["models"][new] = registry["models"].pop(old)

    studio.edit(change)


TAKING_A_PORT = (
    ("unload", {}),
    ("status", {}),
    ("verify", {}),
    ("logs", {}),
    ("show", {}),
    ("follow", {}),
    ("cancel", {}),
    ("load", {"model": "topaz", "replace": True}),
    ("fit", {"model": "topaz"}),
)
KEYS = {"show": "what", "follow": "job", "cancel": "job", "status": "ports", "verify": "ports"}


def given(verb: str, word: str, more: dict[str, Any]) -> dict[str, Any]:
    key = KEYS.get(verb, "port")
    return {key: [word] if key == "ports" else word, **more}


def test_a_word_that_is_a_slot_and_an_entry_elsewhere_is_refused_by_every_verb(one: Studio) -> None:
    here, _, there = one.ports
    word = one.slot(here)
    rename(one, "jade", word)
    ask(one, "load", model="amber", port=here)
    ask(one, "load", model=word, port=there)
    before = one.assignments()
    for verb, more in TAKING_A_PORT:
        for said in (word, word.upper()):
            refused = refusal(one, verb, **given(verb, said, more))
            assert refused.exit_code == 9, (verb, refused)
            model = " topaz" if verb in ("load", "fit") else ""
            typed = "jobs --follow" if verb == "follow" else verb
            assert f"mlxops {typed}{model} {here} (slot {word})" in refused.hint, verb
            assert (
                f"mlxops {typed}{model} {there} (where the entry {word} serves)" in refused.hint
            ), verb
    assert one.assignments() == before
    assert one.ask(here) == "I am tiny/amber" and one.ask(there) == "I am tiny/jade"
    ask(one, "unload", port=there)
    assert one.ask(here) == "I am tiny/amber"


@pytest.mark.slow
def test_where_the_entry_is_on_the_slots_own_port_there_is_one_meaning(one: Studio) -> None:
    port = one.ports[0]
    rename(one, "jade", one.slot(port))
    ask(one, "load", model=one.slot(port), port=one.slot(port))
    assert ask(one, "status", ports=[one.slot(port)])["ports"][0]["port"] == port
    assert ask(one, "show", what=one.slot(port))["port"]["port"] == port
    assert ask(one, "unload", port=one.slot(port))["changed"]
    ask(one, "load", model="amber", port=one.slot(port))
    # The entry is loaded nowhere: to look at the slot is harmless, to stop what is there is not.
    assert ask(one, "status", ports=[one.slot(port)])["ports"][0]["entry"] == "amber"
    refused = refusal(one, "unload", port=one.slot(port))
    assert (
        "amber is loaded there" in refused.message and f"mlxops unload {port} (slot" in refused.hint
    )
    assert one.ask(port) == "I am tiny/amber"
    assert refusal(one, "show", what=one.slot(port)).kind == "ModelAmbiguous"
    assert ask(one, "show", what="tiny/jade")["entry"]["name"] == one.slot(port)


@pytest.mark.slow
def test_verbs_about_ports_take_the_name_of_what_is_loaded(one: Studio) -> None:
    port, other, _ = one.ports
    ask(one, "load", model="amber", port=port)
    ask(one, "load", model="jade", port=other)
    assert ask(one, "status", ports=["amber", other])["ports"][0]["entry"] == "amber"
    assert ask(one, "logs", port="AMBER", lines=1)["port"] == port
    assert ask(one, "show", what=one.slot(port))["entry"]["name"] == "amber"
    for word in ("amb", "tiny/", "ambr"):
        refused = refusal(one, "unload", port=word)
        assert (refused.kind, refused.exit_code) == ("Usage", 2)
    assert "did you mean amber" in refusal(one, "unload", port="amb").hint
    assert "is not loaded on any port" in refusal(one, "unload", port="topaz").message
    assert len(refusal(one, "unload", port="slot").fields["near"]) == 3
    assert ask(one, "unload", port="tiny/amber")["port"] == port
    assert one.assignments() == {"jade": other}
    assert ask(one, "load", model="amber", port="jade", replace=True)["port"] == other
    assert one.assignments() == {"amber": other}
    over = refusal(one, "follow", job="amber")
    assert over.fields["last"]["state"] == "done" and over.fields["last"]["port"] == other
    assert f"no job is running on port {other}; the last one (load amber {other}) ended" in (
        over.message
    )
    assert ask(one, "follow", job=over.fields["last"]["job"])["port"] == other
    assert {job["port"] for job in ask(one, "jobs", job="amber")["jobs"]} == {other}
    assert refusal(one, "cancel", job=str(other)).hint == over.hint


@pytest.mark.parametrize(
    ("verb", "more"), [("remove", {}), ("set", {"changes": {"revision": "r"}})]
)
def test_what_changes_an_entry_takes_no_part_of_its_name(
    one: Studio, verb: str, more: dict[str, Any]
) -> None:
    before = one.registry()
    for word in ("amb", "mber", "tiny/amb", "ambr", ""):
        refused = refusal(one, verb, name=word, **more)
        assert (refused.kind, refused.exit_code) == ("ModelUnknown", 9), word
    assert refusal(one, verb, name="amb", **more).hint == "did you mean amber?"
    assert one.registry() == before
    ask(one, verb, name="AMBER" if verb == "set" else "Tiny/Amber", **more)
    assert one.registry() != before


def test_init_gives_no_entry_a_slots_name(one: Studio) -> None:
    file = one.hosts_dir / "studio.toml"
    file.write_text(file.read_text().replace(one.slot(one.ports[1]), "Amber"))
    for path in one.hub.glob("registry.json*"):
        path.unlink()
    ask(one, "init")
    assert sorted(one.registry()["models"]) == ["jade", "tiny-amber", "topaz"]
    ask(one, "remove", name="tiny-amber")
    ask(one, "load", model="tiny/amber", port="Amber")
    assert one.assignments() == {"tiny-amber": one.ports[1]}


def test_an_entry_with_the_name_of_a_slot_is_named_with_the_command_that_renames_it(
    one: Studio,
) -> None:
    first, second, _ = one.ports
    one.declare({first: "tiny/topaz"})
    ask(one, "remove", name="topaz")
    ask(one, "register", slots=True)
    assert one.entry("topaz")["slot"] == first
    taken = refusal(one, "register", name=one.slot(second), repo="tiny/other")
    assert taken.exit_code == 7 and f"the slot of port {second}" in taken.message

    rename(one, "jade", one.slot(first))
    fix = f"mlxops rename {one.slot(first)} jade"
    rows = [row for row in ask(one, "doctor")["checks"] if row["mend"] == fix]
    assert [(row["check"], row["verdict"]) for row in rows] == [("registry", "warning")]
    assert ask(one, "status")["warnings"] == []
    one.edit(lambda registry: registry["models"][one.slot(first)].update(wanted=second))
    assert [text for text in ask(one, "status")["warnings"] if fix in text]
    ask(one, "rename", name=one.slot(first), new="jade")
    assert ask(one, "status")["warnings"] == []


def test_a_broken_registry_leaves_slots_and_numbers_to_look_at(one: Studio) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    text = one.registry_path.read_text()
    one.registry_path.write_text("{")
    try:
        assert ask(one, "logs", port=one.slot(one.ports[0]), lines=1)["port"] == one.ports[0]
        assert refusal(one, "unload", port=one.slot(one.ports[0])).exit_code == 5
    finally:
        one.registry_path.write_text(text)


def test_a_part_of_a_name_starts_nothing(one: Studio) -> None:
    port = one.ports[0]
    for word, more in (("amb", {}), ("ambr", {}), ("amb", {"dry_run": True})):
        refused = refusal(one, "load", model=word, port=port, **more)
        assert (refused.kind, refused.fields["near"]) == ("ModelUnknown", ["amber"])
        assert refused.hint == f"did you mean mlxops load amber {port}"
    assert "amber" not in refusal(one, "load", model="nosuch", port=port).hint
    assert ask(one, "status")["ports"][0]["state"] == "free" and one.assignments() == {}


@pytest.mark.slow
def test_what_only_reads_takes_a_part_of_a_name_and_tells_which(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    host = hosts.find_host("studio", str(one.hosts_dir))
    for verb, args, meant in (
        ("status", {"ports": ["amb"]}, f"amber (port {port})"),
        ("logs", {"port": "mber", "lines": 1}, f"amber (port {port})"),
        ("fit", {"model": "topa"}, "topaz"),
        ("fit", {"model": str(port)}, "amber"),
        ("show", {"what": "topa"}, "topaz"),
    ):
        notes: list[Any] = []
        session.call(
            host,
            verb,
            args,
            lambda event, to=notes: to.append(event.get("message")),  # type: ignore[misc]
        )
        assert [note for note in notes if str(note).endswith(f"is taken as {meant}")], verb
    assert len(refusal(one, "status", ports=["slot"]).fields["near"]) == 3
    assert f"did you mean amber ({port})?" == refusal(one, "unload", port="mber").hint


def test_several_ports_are_unloaded_each_with_its_own_outcome(one: Studio) -> None:
    first, second, last = one.ports
    ask(one, "load", model="amber", port=first)
    ask(one, "load", model="jade", port=second)
    with socket.create_server(("127.0.0.1", last)):
        answer = one.mlxops("unload", f"amber,{second}-{last}")
        assert answer.exit == 1 and answer.error["ports"] == [last]
        rows = answer.document["result"]["ports"]
        assert [(row["port"], row["ok"], row["changed"]) for row in rows] == [
            (first, True, True),
            (second, True, True),
            (last, False, False),
        ]
    assert one.assignments() == {}


@pytest.mark.slow
def test_a_port_stands_for_the_entry_on_it_where_that_is_harmless(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    ask(one, "set", name=one.slot(port), changes={"revision": "r"})
    assert one.entry("amber")["revision"] == "r"
    for verb, more in (("remove", {}), ("load", {"port": one.ports[1]})):
        key = "model" if verb == "load" else "name"
        refused = refusal(one, verb, **{key: str(port)}, **more)
        assert refused.exit_code == 2 and "the model there is amber" in refused.message
        assert refused.hint.startswith(f"mlxops {verb} amber")
    assert (
        "no model is loaded there"
        in refusal(one, "set", name=str(one.ports[1]), changes={"revision": "r"}).message
    )


@pytest.mark.slow
def test_apply_takes_the_model_that_is_declared(one: Studio) -> None:
    first, second, _ = one.ports
    one.declare({first: "tiny/amber", second: "tiny/new"})
    for word, port in (("amber", first), ("tiny/amber", first), ("tiny/new", second)):
        assert [row["port"] for row in ask(one, "plan", ports=[word])["rows"]] == [port]
    assert "is not loaded on any port" in refusal(one, "plan", ports=["jade"]).message


@pytest.mark.slow
def test_set_refuses_a_name_that_is_an_entry_and_the_slot_of_another(one: Studio) -> None:
    port = one.ports[0]
    rename(one, "jade", one.slot(port))
    ask(one, "load", model="amber", port=port)
    for verb, key, more in (("set", "name", {"changes": {"revision": "r"}}), ("fit", "model", {})):
        refused = refusal(one, verb, **{key: one.slot(port)}, **more)
        assert refused.kind == "ModelAmbiguous"
        assert refused.hint == f"mlxops {verb} tiny/jade (the entry) or mlxops {verb} amber " + (
            f"(the model on {port})"
        )
    ask(one, "set", name="tiny/jade", changes={"revision": "r"})
    assert one.entry(one.slot(port))["revision"] == "r"
    ask(one, "rename", name=one.slot(port), new="jade")


@pytest.mark.slow
def test_a_lost_model_stands_for_the_port_that_it_wants(one: Studio) -> None:
    first = one.ports[0]
    ask(one, "load", model="amber", port=first)
    os.kill(one.port_row(first)["pid"], signal.SIGKILL)
    eventually(lambda: one.port_row(first)["drift"])
    ask(one, "reconcile")
    assert ask(one, "status", ports=["amber"])["ports"][0]["drift"] == "lost"
    ask(one, "load", model="jade", port=first)
    assert "amber is not loaded on any port" in refusal(one, "unload", port="amber").message
    assert one.assignments() == {"jade": first}


@pytest.mark.slow
def test_by_an_entrys_name_no_other_models_server_is_stopped(one: Studio) -> None:
    """As after a manual edit: the port is assigned to jade, and amber runs there."""
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)

    def mixed(registry: dict[str, Any]) -> None:
        registry["models"]["amber"].update(port=None, process=None)
        registry["models"]["jade"].update(port=port)

    one.edit(mixed)
    refused = refusal(one, "unload", port="jade")
    assert refused.exit_code == 7 and "serves something else" in refused.message
    assert one.ask(port) == "I am tiny/amber" and one.assignments() == {"jade": port}
    assert ask(one, "unload", port=port)["changed"]
