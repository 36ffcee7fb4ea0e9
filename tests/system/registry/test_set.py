"""set refuses what a load would refuse, KEY= gives back the default, and a model may have two
entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.asking import ask, refusal
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio


@pytest.fixture
def one(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    made = make_studio(None, studio_runtime)
    init_copies.init(made)
    return made


def set_(studio: Studio, name: str = "amber", **changes: str) -> dict[str, Any]:
    return ask(studio, "set", name=name, changes=changes)


def reasons(result: dict[str, Any]) -> list[str]:
    return [action["reason"] for action in result["actions"]]


REFUSED = {
    "a parser that the server lacks": ({"tool_call_parser": "qwn3"}, 1, "did you mean qwen3"),
    "an argument that it lacks": ({"args": "--nope"}, 1, "this version has no --nope"),
    "an argument of ours": ({"args": "--port 99"}, 1, "mlxops sets it"),
    "a file that is missing": ({"args": "--lora-paths /no/such"}, 1, "/no does not exist"),
    "a template that is missing": ({"chat_template": "/no/such"}, 1, "/no/such does not exist"),
    "an unknown runtime": ({"runtime": "mlx-openai"}, 2, "unknown runtime 'mlx-openai'"),
    "hosts for a server of one host": ({"hosts": "a=10.0.0.1 b=10.0.0.2"}, 1, "several hosts"),
    "hosts without addresses": ({"hosts": "a b"}, 2, "NAME=ADDRESS"),
    "an unknown key": ({"tool_cal_parser": "x"}, 2, "'tool_cal_parser' cannot be set"),
    "the name": ({"name": "x"}, 2, "the name of an entry cannot be set"),
}


@pytest.mark.parametrize("changes, code, text", REFUSED.values(), ids=REFUSED.keys())
def test_what_a_load_would_refuse_is_refused_at_once(
    one: Studio, changes: dict[str, str], code: int, text: str
) -> None:
    before = one.registry_path.read_bytes()
    error = refusal(one, "set", name="amber", changes=changes)
    assert error.exit_code == code and text in error.message
    assert one.registry_path.read_bytes() == before
    if "name" in changes:
        assert error.hint == "mlxops rename amber x"
    if "tool_cal_parser" in changes:
        assert error.hint == "did you mean tool_call_parser?"


def test_a_fault_that_was_there_before_keeps_nobody_from_another_change(one: Studio) -> None:
    one.edit(lambda registry: registry["models"]["amber"].update(tool_call_parser="gone"))
    assert set_(one, args="--debug")["changed"]
    assert refusal(one, "set", name="amber", changes={"args": "--nope"}).kind == "Failed"
    assert reasons(set_(one, tool_call_parser="")) == ["tool_call_parser: gone -> qwen3"]


def test_key_and_nothing_is_the_default_and_none_is_none(one: Studio) -> None:
    path = one.entry("amber")["cache_path"]
    set_(one, tool_call_parser="none", args="none")
    fields = one.entry("amber")
    assert (fields["tool_call_parser"], fields["args"]) == ("", [])
    assert reasons(set_(one, tool_call_parser="", args="")) == [
        "tool_call_parser: none -> qwen3",
        "args: none -> auto",
    ]
    set_(one, tool_call_parser="auto", slot=str(one.ports[0]), cache_path="/somewhere")
    fields = one.entry("amber")
    assert "tool_call_parser" not in fields and fields["slot"] == one.ports[0]
    set_(one, slot="none", cache_path="", model_id="", format="")
    fields = one.entry("amber")
    assert "slot" not in fields and fields["cache_path"] == path
    assert (fields["model_id"], fields["format"]) == ("tiny/amber", "mlx")
    # The content of answers would be lost.
    set_(one, tool_call_parser="none", reasoning_parser="")
    assert "reasoning_parser" not in one.entry("amber")


def test_two_models_for_one_port_are_a_warning(one: Studio) -> None:
    port = one.ports[0]
    assert set_(one, slot=one.slot(port))["warnings"] == []
    text = f"port {port} is planned for amber as well as for jade: only one can serve there"
    planned = ask(one, "set", name="jade", changes={"slot": str(port)}, dry_run=True)
    assert planned["warnings"] == set_(one, "jade", slot=str(port))["warnings"] == [text]
    one.declare({one.ports[1]: "tiny/topaz"})
    (warning,) = set_(one, slot=str(one.ports[1]))["warnings"]
    assert "planned for tiny/topaz (the host file) as well as for amber" in warning
    assert set_(one, "topaz", slot=str(one.ports[1]))["warnings"] != []
    assert ask(one, "register", name="new", repo="org/new", slot=port)["warnings"]


def test_a_running_server_is_restarted_with_the_change(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    assert set_(one, args="--debug")["next"] == f"mlxops restart {port}"
    assert set_(one, args="--debug")["next"] is None
    assert set_(one, slot=str(port))["next"] is None
    assert set_(one, "jade", args="--debug")["next"] is None


@pytest.mark.slow
def test_a_second_entry_of_a_model_serves_beside_the_first(one: Studio) -> None:
    again = {"name": "amber-2", "repo": "tiny/amber"}
    error = refusal(one, "register", **again)
    assert error.kind == "AssignmentConflict" and "amber-2 was not added" in error.message
    assert "mlxops rename amber amber-2" in error.hint and "--again" in error.hint
    assert "amber-2" not in one.registry()["models"]
    for args in (["--nope"], ["--port", "1"]):
        assert refusal(one, "register", **again, again=True, args=args).kind == "Failed"
    (action,) = ask(one, "register", **again, again=True, args=["--debug"])["actions"]
    assert (action["action"], action["applied"]) == ("add", True)
    assert refusal(one, "register", name="AMBER", repo="tiny/amber", again=True).kind == (
        "AssignmentConflict"
    )
    for name, port in (("amber", one.ports[0]), ("amber-2", one.ports[1])):
        ask(one, "load", model=name, port=port)
    assert one.assignments() == {"amber": one.ports[0], "amber-2": one.ports[1]}
    assert {one.port_row(port)["drift"] for port in one.ports[:2]} == {None}
    assert refusal(one, "load", model="tiny/amber", port=one.ports[2]).kind == "ModelAmbiguous"
    (kept,) = ask(one, "register", **again)["actions"]
    assert (kept["action"], kept["entry"]) == ("keep", "amber-2")
    error = refusal(one, "register", **again, args=["--port", "1"])
    assert error.hint == "mlxops set amber-2 'args=--port 1'"
