"""history --undo: the last edit of entries is taken back; servers are left alone."""

from __future__ import annotations

import json

from tests.support.studio import Studio
from tests.support.terminal import Terminal
from tests.support.watching import refused


def models(studio: Studio) -> dict[str, object]:
    found: dict[str, object] = studio.registry()["models"]
    return found


def test_each_kind_of_edit_is_undone_and_an_undo_too(one: Studio) -> None:
    port = one.ports[1]
    for words in (
        ("set", "amber", f"slot={port}", "tool_call_parser=none"),
        ("remove", "jade"),
        ("register", "new", "tiny/new"),
        ("rename", "topaz", "zircon"),
    ):
        before = models(one)
        one.must(*words)
        after = models(one)
        plan = one.must("history", "--undo", "--dry-run")
        assert models(one) == after and plan["actions"] and not plan["actions"][0]["applied"]
        assert one.must("history", "--undo")["changed"]
        assert models(one) == before
        one.must("history", "--undo")
        assert models(one) == after
    rows = one.must("history", "-n", 3)["changes"]
    assert [row["why"] for row in rows] == [
        "undo of undo of rename topaz zircon",
        "undo of rename topaz zircon",
        "rename topaz zircon",
    ]


def test_a_change_since_is_named_and_moved_servers_are_left(one: Studio) -> None:
    port = one.ports[0]
    one.must("set", "amber", f"slot={one.ports[1]}")
    one.edit(lambda registry: registry["models"]["amber"].update(slot=one.ports[2]))
    kept = models(one)
    error = refused(one.mlxops("history", "amber", "--undo"), 7, "AssignmentConflict")
    assert error["message"] == "not undone: slot of amber changed since"
    one.must("load", "amber", port, "--force")
    one.must("load", "jade", port, "--replace")
    loaded = models(one)
    error = refused(one.mlxops("history", "--undo"), 1, "Failed")
    assert error["command"] == f"mlxops load amber {port} --replace"
    one.must("unload", port)
    error = refused(one.mlxops("history", "--undo"), 1, "Failed")
    assert error["command"] == f"mlxops load jade {port}"
    assert kept["amber"]["slot"] == loaded["amber"]["slot"] == one.entry("amber")["slot"]  # type: ignore[index]
    assert one.assignments() == {}


def test_what_is_undone_is_what_was_agreed_to(one: Studio) -> None:
    one.must("set", "amber", f"slot={one.ports[1]}")
    no = Terminal(one, "history", "--undo")
    no.until("Undo set amber? [y/N]: ")
    assert f"would set amber: slot: {one.ports[1]} -> not set" in no.shown
    no.type(b"n\n")
    assert no.end() == 1 and one.entry("amber")["slot"] == one.ports[1]
    late = Terminal(one, "history", "--undo")
    late.until("[y/N]: ")
    one.must("set", "jade", f"slot={one.ports[2]}")
    late.type(b"y\n")
    assert late.end() == 1 and "there is a newer change (set jade)" in late.shown
    assert (one.entry("amber")["slot"], one.entry("jade")["slot"]) == tuple(one.ports[1:])
    yes = Terminal(one, "history", "--undo", "--yes")
    assert yes.end() == 0 and "[y/N]" not in yes.shown and "slot" not in one.entry("jade")


def test_nothing_to_undo_and_options_that_exclude_each_other(one: Studio) -> None:
    one.registry_path.with_suffix(".history.jsonl").unlink()
    assert "no change" in refused(one.mlxops("history", "--undo"), 1, "Failed")["message"]
    for words in (("--undo", "-n", 3), ("--undo", "--since", "2d"), ("--yes",), ("--dry-run",)):
        assert one.mlxops("history", *words).exit == 2
    one.registry_path.write_text(json.dumps({"version": 9}))
    refused(one.mlxops("history", "--undo"), 5, "RegistryInvalid")
