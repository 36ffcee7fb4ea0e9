"""A word with two meanings is refused, and verbs that stop or change something accept only full
names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlxops import session
from mlxops.hosts import files as hosts
from tests.support.asking import ask, refusal
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio


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
            assert f"mlxops {verb}{model} {here} (slot {word})" in refused.hint, verb
            assert (
                f"mlxops {verb}{model} {there} (where the entry {word} serves)" in refused.hint
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
    assert ask(one, "follow", job="amber")["port"] == other


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


def test_a_broken_registry_leaves_slots_and_numbers_to_look_at(one: Studio) -> None:
    ask(one, "load", model="amber", port=one.ports[0])
    text = one.registry_path.read_text()
    one.registry_path.write_text("{")
    try:
        assert ask(one, "logs", port=one.slot(one.ports[0]), lines=1)["port"] == one.ports[0]
        assert refusal(one, "unload", port=one.slot(one.ports[0])).exit_code == 5
    finally:
        one.registry_path.write_text(text)


def test_a_part_of_a_name_is_told_before_it_starts_anything(one: Studio) -> None:
    said: list[str] = []
    host = hosts.find_host("studio", str(one.hosts_dir))
    session.call(
        host, "load", {"model": "amb", "port": one.ports[0]}, lambda event: said.append(str(event))
    )
    told = [n for n, line in enumerate(said) if "amb -> amber (tiny/amber)" in line]
    begun = [n for n, line in enumerate(said) if "'event': 'job'" in line]
    assert len(told) == 1 and told[0] < begun[0]


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
