"""The values of an entry that the user has not set, from real folders and from odd ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.models.defaults import (
    Defaults,
    Installed,
    find_defaults,
    unset_keys,
    with_defaults,
)
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES, parse_help

OPENAI, LIGHT = RUNTIMES["mlx-openai-server"], RUNTIMES["mlx_lm.server"]
HELP = parse_help(
    (Path(__file__).parents[2] / "fixtures/help/mlx-openai-server-1.8.1.txt").read_text()
)
JSON = '<tool_call>{"name": "", "arguments": {}}</tool_call>'
CODER = "<tool_call>\\n<function=f>"


def model(path: Path, family: object, template: str | None = JSON, **files: str) -> Entry:
    (path / "config.json").write_text(json.dumps({"model_type": family}))
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    for name, content in files.items():
        (path / name).write_text(content)
    return Entry("a", {**REQUIRED, "repo_id": "org/Tiny-7B", "cache_path": str(path)})


def suggested(entry: Entry, folder: Path | None = None, known: Any = HELP) -> Defaults:
    return find_defaults(Installed(OPENAI, known), entry, str(folder) if folder else None)


def test_a_known_family_gets_its_parsers_and_no_template_where_the_server_finds_one(tmp_path: Path):
    found = suggested(model(tmp_path, "qwen3_moe"))
    assert dict(found.values) == {"tool_call_parser": "qwen3_moe"}
    assert found.sources["tool_call_parser"].startswith("qwen3_moe: ")
    assert found.notes == ()


def test_only_what_the_installed_help_lists_is_proposed(tmp_path: Path):
    older = {**HELP, "--tool-call-parser": ("hermes",)}
    assert suggested(model(tmp_path, "qwen3_moe"), known=older).values == {
        "tool_call_parser": "hermes"
    }
    none = suggested(model(tmp_path, "qwen3_moe"), known={**HELP, "--tool-call-parser": ("other",)})
    assert none.values == {}
    assert none.notes == (
        "the installed mlx-openai-server has no tool_call_parser qwen3_moe or hermes or qwen3 or "
        "qwen3_vl or iquest_coder_v1",
    )
    assert suggested(model(tmp_path, "gpt_oss"), known=None).values == {}


def test_a_reasoning_parser_is_never_alone(tmp_path: Path):
    half = {**HELP, "--tool-call-parser": ("other",)}
    assert suggested(model(tmp_path, "gpt_oss"), known=half).values == {}


def test_a_runtime_without_the_options_gets_nothing_and_no_words_about_it(tmp_path: Path):
    found = find_defaults(Installed(LIGHT, {"--port": ()}), model(tmp_path, "qwen3_moe"), None)
    assert (found.values, found.notes) == ({}, ())


def test_the_template_inside_the_tokenizer_config_counts(tmp_path: Path):
    rows = [
        {"name": "default", "template": "{{ messages }}"},
        {"name": "tool_use", "template": CODER},
        7,
        {"x": 1},
    ]
    entry = model(
        tmp_path,
        "qwen3_moe",
        None,
        **{"tokenizer_config.json": json.dumps({"chat_template": rows})},
    )
    assert suggested(entry).values == {"tool_call_parser": "qwen3_coder"}


def test_a_lone_template_under_another_name_is_proposed(tmp_path: Path):
    entry = model(tmp_path, "llama", None, **{"template.jinja": CODER})
    alone = {"chat_template": str(tmp_path / "template.jinja"), "tool_call_parser": "qwen3_coder"}
    assert suggested(entry).values == alone
    (tmp_path / "other.jinja").write_text("{{ messages }}")
    assert suggested(entry).values == {}


def test_the_hosts_template_folder_comes_last_the_repository_before_the_family(tmp_path: Path):
    folder, snapshot = tmp_path / "templates", tmp_path / "snapshot"
    folder.mkdir()
    snapshot.mkdir()
    entry = model(snapshot, "llama", None)
    assert suggested(entry, folder).template.text == ""
    (folder / "llama.jinja").write_text("{{ messages }}")
    assert suggested(entry, folder).values == {"chat_template": str(folder / "llama.jinja")}
    (folder / "Tiny-7B.jinja").write_text(CODER)
    assert suggested(entry, folder).values["chat_template"] == str(folder / "Tiny-7B.jinja")
    assert suggested(entry, folder).sources["chat_template"] == "the host's template folder"
    assert suggested(entry.with_fields(chat_template=""), folder).template.text == ""
    (snapshot / "chat_template.jinja").write_text(JSON)
    assert suggested(entry, folder).values == {"tool_call_parser": "hermes"}


def test_the_entrys_own_template_is_the_one_that_counts(tmp_path: Path):
    own = tmp_path / "own.jinja"
    own.write_text(CODER)
    entry = model(tmp_path, "qwen3_moe").with_fields(chat_template=str(own))
    assert suggested(entry).values == {"tool_call_parser": "qwen3_coder"}


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _large(path: Path) -> None:
    path.write_text("{{ messages }}" + "<think> " * (5 << 17))


@pytest.mark.parametrize("odd", [_directory, _loop, _fifo, _large], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "name", ["config.json", "chat_template.jinja", "tokenizer_config.json", "x.jinja"]
)
def test_an_odd_file_is_no_template_and_no_family(tmp_path: Path, name: str, odd: Any):
    entry = model(tmp_path, "qwen3", None)
    (tmp_path / name).unlink(missing_ok=True)
    odd(tmp_path / name)
    assert suggested(entry).values.get("tool_call_parser") in (None, "qwen3")


NO_FAMILIES = [
    b"",
    b"[]",
    b"\xff",
    b"[" * 100_000,
    b'{"model_type": ["qwen3"]}',
    b'{"model_type": 1e999}',
]
NO_FAMILIES += [b'{"model_type": "\\u001b[31mqwen3"}', b'{"model_type": "%s"}' % (b"x" * 65)]


@pytest.mark.parametrize("raw", NO_FAMILIES)
def test_a_broken_config_proposes_nothing_and_says_so(tmp_path: Path, raw: bytes):
    entry = model(tmp_path, "x", None)
    (tmp_path / "config.json").write_bytes(raw)
    assert suggested(entry).values == {}
    assert ["no tool parser is known" in note for note in suggested(entry).notes] == [True]
    assert suggested(entry.with_fields(cache_path="")).notes == ()


@pytest.mark.parametrize("beside", [True, False])
def test_a_model_that_takes_pictures_is_told_so_where_the_package_for_them_is_there(
    tmp_path: Path, beside: bool
):
    entry = model(tmp_path, "qwen3_vl")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "qwen3_vl", "vision_config": {}})
    )
    if beside:
        (tmp_path / "mlx_vlm").mkdir()
    found = find_defaults(Installed(OPENAI, HELP, (str(tmp_path),)), entry, None)
    assert found.values.get("args") == (["--model-type", "multimodal"] if beside else None)
    assert [note for note in found.notes if "text only" in note] == (
        [] if beside else list(found.notes)
    )
    assert (with_defaults(entry, found).args == ("--model-type", "multimodal")) is beside
    assert with_defaults(entry.with_fields(args=[]), found).args == ()
    without = {**HELP, "--model-type": ("lm",)}
    assert find_defaults(Installed(OPENAI, without, (str(tmp_path),)), entry, None).values == {
        "tool_call_parser": "qwen3_vl"
    }


@pytest.mark.parametrize(
    ("fields", "open_keys"),
    [
        ({}, ("chat_template", "tool_call_parser", "reasoning_parser", "args")),
        (
            {"tool_call_parser": None},
            ("chat_template", "tool_call_parser", "reasoning_parser", "args"),
        ),
        ({"tool_call_parser": ""}, ("chat_template", "args")),
        ({"reasoning_parser": "qwen3", "args": []}, ("chat_template",)),
        ({"chat_template": "/t"}, ("tool_call_parser", "reasoning_parser", "args")),
        ({"chat_template": "", "tool_call_parser": "x", "args": ["-x"]}, ()),
    ],
)
def test_what_somebody_has_said_is_not_filled_in(
    tmp_path: Path, fields: dict[str, Any], open_keys: tuple[str, ...]
):
    entry = Entry("a", {**model(tmp_path, "gpt_oss").fields, **fields})
    assert unset_keys(entry.fields) == open_keys
    after = with_defaults(entry, suggested(entry))
    assert {k: v for k, v in after.fields.items() if k not in open_keys} == {
        k: v for k, v in entry.fields.items() if k not in open_keys
    }
    assert (after.text("tool_call_parser") == "harmony") is ("tool_call_parser" in open_keys)
