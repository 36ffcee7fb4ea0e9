"""Flags from the model: which are proposed, what overrides them, and what a gpt-oss needs before
its start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio

QWEN = '<tool_call>\n{"name": "", "arguments": {}}\n</tool_call> <think></think>'
PROPOSED = {"tool_call_parser": "qwen3_moe", "reasoning_parser": "qwen3"}
HARMONY = "<|start|>{{ messages[0].content }}<|channel|><|message|>"
PARSERS = "--tool-call-parser", "--reasoning-parser"


def of_family(
    files: Mapping[str, bytes], family: str, template: str | None = None
) -> dict[str, bytes]:
    """A tiny model's files, described as this family's, with this template or with none."""
    described = {**json.loads(files["config.json"]), "model_type": family}
    kept = {name: content for name, content in files.items() if name != "chat_template.jinja"}
    kept["config.json"] = json.dumps(described).encode()
    return kept | ({"chat_template.jinja": template.encode()} if template else {})


@pytest.fixture
def files(tiny_models: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    return tiny_models["tiny/amber"]


@pytest.fixture
def moe(studio: Studio, files: dict[str, bytes]) -> Studio:
    studio.add("tiny/moe", of_family(files, "qwen3_moe", QWEN))
    return studio


def fields(studio: Studio, name: str) -> dict[str, Any]:
    entry = studio.entry(name)
    return {key: entry[key] for key in ("chat_template", *PROPOSED) if key in entry}


def told(studio: Studio, name: str) -> dict[str, str]:
    return {key: row["from"] for key, row in studio.must("show", name)["sources"].items()}


def started_with(studio: Studio, name: str) -> list[str]:
    return [
        word
        for word in studio.entry(name)["process"]["argv"]
        if word.startswith("--") or "jinja" in word
    ]


def test_init_says_of_a_model_that_it_would_not_be_loaded(
    studio: Studio, files: dict[str, bytes]
) -> None:
    studio.add("tiny/oss", of_family(files, "gpt_oss"))
    reasons = {action["entry"]: action["reason"] for action in studio.must("init")["actions"]}
    assert "; load will refuse it: " in reasons["oss"] and "refuse" not in reasons["amber"]


def test_init_writes_what_is_proposed_and_show_tells_where_it_is_from(moe: Studio) -> None:
    moe.must("init")
    assert fields(moe, "moe") == PROPOSED
    sources = told(moe, "moe")
    assert sources["tool_call_parser"].startswith("the default (qwen3_moe: ")
    assert sources["chat_template"] == "not set: the snapshot (chat_template.jinja) has one"
    assert sources["runtime"] == "the host file"
    moe.must("set", "moe", "tool_call_parser=hermes", f"slot={moe.ports[0]}")
    row = moe.must("show", "moe")["sources"]["tool_call_parser"]
    assert row == {"value": "hermes", "from": "set by hand", "proposed": "qwen3_moe"}
    assert told(moe, "moe")["served_name"] == f"slot {moe.ports[0]} of the host file"


def test_an_entry_nobody_has_said_anything_about_gets_its_flags_with_the_load_and_keeps_them(
    moe: Studio,
) -> None:
    moe.must("init")
    moe.must("set", "moe", "tool_call_parser=auto", "reasoning_parser=auto")
    assert fields(moe, "moe") == {}
    assert told(moe, "moe")["reasoning_parser"].startswith("not set: the next load uses")
    warnings = moe.must("load", "moe", moe.ports[0])["warnings"]
    assert [w for w in warnings if "tool_call_parser qwen3_moe, reasoning_parser qwen3" in w], (
        warnings
    )
    assert fields(moe, "moe") == PROPOSED
    assert moe.port_row(moe.ports[0])["drift"] is None
    assert moe.must("load", "moe", moe.ports[0])["changed"] is False


@pytest.mark.slow
def test_none_is_an_answer_that_neither_load_nor_init_overrules(moe: Studio) -> None:
    moe.must("init")
    told_so = [
        row["reason"]
        for row in moe.must("set", "moe", "tool_call_parser=none", "reasoning_parser=none")[
            "actions"
        ]
    ]
    assert told_so == ["tool_call_parser: qwen3_moe -> none", "reasoning_parser: qwen3 -> none"]
    moe.must("init")
    assert moe.must("load", "moe", moe.ports[0])["warnings"] == []
    assert not set(PARSERS) & set(started_with(moe, "moe"))
    assert told(moe, "moe")["tool_call_parser"] == "set by hand: none"
    assert moe.port_row(moe.ports[0])["drift"] is None


@pytest.mark.slow
def test_a_parser_set_by_hand_is_left_alone_and_gets_no_company(moe: Studio) -> None:
    moe.must("init")
    moe.must("set", "moe", "tool_call_parser=auto", "reasoning_parser=auto")
    moe.must("set", "moe", "tool_call_parser=hermes")
    moe.must("load", "moe", moe.ports[0])
    assert fields(moe, "moe") == {"tool_call_parser": "hermes"}
    assert told(moe, "moe")["reasoning_parser"].startswith("not set: the other parser was set")


def test_only_what_the_installed_version_lists_is_proposed(
    moe: Studio, fake_runtime: FakeRuntime
) -> None:
    shown = (Path(__file__).parents[2] / "fixtures/help/mlx-openai-server-1.8.1.txt").read_text()
    fake_runtime.shows(shown.replace("qwen3_moe|", "").replace("hermes|", ""))
    moe.must("init")
    assert fields(moe, "moe") == {"tool_call_parser": "qwen3", "reasoning_parser": "qwen3"}
    moe.must("load", "moe", moe.ports[0])


def test_without_an_installed_version_nothing_is_proposed(
    moe: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.program.unlink()
    answer = moe.mlxops("init")
    assert "mlx-openai-server does not list its options: no parsers are proposed" in answer.stderr
    assert fields(moe, "moe") == {}


def test_an_unknown_family_is_loaded_without_parsers_and_that_is_said(
    studio: Studio, files: dict[str, bytes]
) -> None:
    studio.add("tiny/novel", of_family(files, "olmo2", "{{ messages }}"))
    actions = studio.must("init")["actions"]
    said = "no tool parser is known for model type olmo2"
    assert [a["reason"] for a in actions if a["entry"] == "novel"] == [f"tiny/novel; {said}"]
    result = studio.must("load", "novel", studio.ports[0])
    assert (result["state"], result["warnings"]) == ("ready", [said])
    assert not set(PARSERS) & set(started_with(studio, "novel"))


@pytest.fixture
def oss(studio: Studio, files: dict[str, bytes]) -> Studio:
    studio.add("tiny/gpt-oss", of_family(files, "gpt_oss"))
    return studio


@pytest.mark.slow
def test_a_gpt_oss_without_a_template_is_not_started_and_nothing_is_touched(oss: Studio) -> None:
    port = oss.ports[0]
    oss.must("init")
    oss.must("load", "amber", port)
    before = oss.registry()
    error = oss.mlxops("load", "gpt-oss", port, "--replace").error
    assert error["kind"] == "Failed" and "has no chat template" in error["message"]
    assert (
        "mlxops set gpt-oss chat_template=PATH" in error["hint"] and "templates = " in error["hint"]
    )
    assert oss.registry() == before
    assert oss.ask(port, oss.slot(port))
    # verify and doctor say so of every entry, before anyone has tried to load it.
    assert oss.mlxops("verify").error["refused"] == ["gpt-oss"]
    assert [
        row
        for row in oss.mlxops("doctor").document["result"]["checks"]
        if "has no chat template" in row["seen"]
    ]


@pytest.mark.slow
def test_a_gpt_oss_takes_its_template_from_the_hosts_folder(oss: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    oss.describe(templates=str(folder))
    refused = oss.mlxops("load", "tiny/gpt-oss", oss.ports[0])
    assert refused.exit == 1 and f"{folder}/gpt_oss.jinja" in refused.error["hint"]
    (folder / "gpt_oss.jinja").write_text(HARMONY)
    result = oss.must("load", "tiny/gpt-oss", oss.ports[0])
    expected = {"chat_template": f"{folder}/gpt_oss.jinja", **dict.fromkeys(PROPOSED, "harmony")}
    assert fields(oss, "gpt-oss") == expected
    assert f"{folder}/gpt_oss.jinja" in started_with(oss, "gpt-oss")
    assert [w for w in result["warnings"] if "TIKTOKEN_ENCODINGS_BASE" in w]
    assert told(oss, "gpt-oss")["chat_template"] == "the default (the host's template folder)"


@pytest.mark.slow
def test_a_vocabulary_that_is_promised_and_is_not_there_stops_the_load(
    oss: Studio, tmp_path: Path
) -> None:
    (tmp_path / "own.jinja").write_text(HARMONY)
    (tmp_path / "o200k_base.tiktoken").write_bytes(b"IQ== 0\n")
    oss.must("init")
    oss.must("set", "gpt-oss", f"chat_template={tmp_path}/own.jinja")
    oss.runtime["env"] = {"TIKTOKEN_ENCODINGS_BASE": str(tmp_path)}
    oss.describe()
    error = oss.mlxops("load", "gpt-oss", oss.ports[0]).error
    assert error["path"] == f"{tmp_path}/o200k_base.tiktoken"
    oss.must("set", "gpt-oss", "tool_call_parser=none", "reasoning_parser=none")
    assert (
        "runs without the harmony parser"
        in oss.must("load", "gpt-oss", oss.ports[0], "--dry-run")["warnings"][0]
    )


@pytest.mark.slow
def test_a_gpt_oss_that_leaks_all_the_same_is_no_success_and_the_model_before_comes_back(
    oss: Studio, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    port = oss.ports[0]
    (tmp_path / "own.jinja").write_text(HARMONY)
    oss.must("init")
    oss.must("set", "gpt-oss", f"chat_template={tmp_path}/own.jinja")
    oss.must("load", "amber", port)
    fake_runtime.behaves("gpt-oss", says="<|channel|>analysis<|message|>hm")
    error = oss.mlxops("load", "gpt-oss", port, "--replace", "--force").error
    assert error["kind"] == "NotReady" and "<|channel|>" in error["message"]
    assert error["rollback"] == "amber serves again"
    oss.must("set", "gpt-oss", "tool_call_parser=none", "reasoning_parser=none")
    answer = oss.mlxops("load", "gpt-oss", port, "--replace", "--force")
    assert answer.exit == 0 and "<|channel|>" in answer.stderr, answer
