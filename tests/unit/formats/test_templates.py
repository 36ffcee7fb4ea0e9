"""Which template a server finds by itself, and which one it has to be given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.formats.templates import Snapshot, read_template
from tests.support.templates import tokenizer

ONE, TWO = "{{ messages }}", "{{ tools }}"
MORE = "additional_chat_templates"
NAMED = [{"name": "default", "template": ONE}, {"name": "tool_use", "template": TWO}]


def inside(template: Any, **more: Any) -> str:
    return json.dumps({"chat_template": template, **more})


# (files, what the server is given, "" if it finds the template itself; None: there is none)
FOLDERS: dict[str, tuple[dict[str, str], str | None]] = {
    "the usual file": ({"chat_template.jinja": ONE}, ""),
    "the tokenizer's settings": ({"tokenizer_config.json": inside(ONE)}, ""),
    "named ones": ({"tokenizer_config.json": inside(NAMED)}, ""),
    "named ones without a default": (
        {"tokenizer_config.json": inside([{"name": "tool_use", "template": ONE}])},
        "tokenizer_config.json",
    ),
    "a processor's": ({"chat_template.json": inside(ONE)}, "chat_template.json"),
    "a processor's settings": ({"processor_config.json": inside(ONE)}, "processor_config.json"),
    "a processor's beside the tokenizer's": (
        {"chat_template.json": inside(ONE), "tokenizer_config.json": inside(ONE)},
        "",
    ),
    "one for tools alone": ({f"{MORE}/tool_use.jinja": ONE}, f"{MORE}/tool_use.jinja"),
    "one for tools among others": (
        {f"{MORE}/rag.jinja": TWO, f"{MORE}/tool_use.jinja": ONE},
        f"{MORE}/tool_use.jinja",
    ),
    "others only": ({f"{MORE}/rag.jinja": TWO, f"{MORE}/code.jinja": ONE}, None),
    "one for tools beside the usual file": (
        {"chat_template.jinja": ONE, f"{MORE}/tool_use.jinja": TWO},
        "",
    ),
    "a default among the others": ({f"{MORE}/default.jinja": ONE}, ""),
    # transformers takes the files alone, and loses the template that would do.
    "files that hide the tokenizer's": (
        {"tokenizer_config.json": inside(ONE), f"{MORE}/tool_use.jinja": TWO},
        "tokenizer_config.json",
    ),
    "another name": ({"my.jinja": ONE}, "my.jinja"),
    "another name with the twin of a foreign disk": (
        {"my.jinja": ONE, "._my.jinja": "\0\5\26\7"},
        "my.jinja",
    ),
    "two other names": ({"my.jinja": ONE, "your.jinja": ONE}, None),
    "nothing": ({}, None),
    "empty files": ({"chat_template.jinja": "", "chat_template.json": "{}"}, None),
    "odd values": ({"tokenizer_config.json": inside([7, {"name": 1}, {"template": ONE}])}, None),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("files", "given"), FOLDERS.values(), ids=FOLDERS)
def test_what_is_found_and_what_is_given(tmp_path: Path, files: dict[str, str], given: str | None):
    template = Snapshot(str(write(tmp_path, files))).template()
    assert template.exists is (given is not None)
    assert template.path == (str(tmp_path / given) if given else "")
    assert (ONE in template.text) is template.exists
    if given:
        assert read_template(template.path) == ONE


@pytest.mark.slow
@pytest.mark.parametrize(("files", "given"), FOLDERS.values(), ids=FOLDERS)
def test_the_real_tokenizer_agrees(tmp_path: Path, files: dict[str, str], given: str | None):
    """What counts as found renders a chat in mlx-lm, what is given does so once it is given, and
    what counts as nothing is refused."""
    from mlx_lm.tokenizer_utils import load

    model = {name: content.decode() for name, content in tokenizer().items()}
    settings = {**json.loads(model["tokenizer_config.json"])}
    settings |= json.loads(files.get("tokenizer_config.json", "{}"))
    write(tmp_path, {**model, **files, "tokenizer_config.json": json.dumps(settings)})
    (tmp_path / "._my.jinja").unlink(missing_ok=True)

    def renders(**extra: str) -> bool:
        chat = [{"role": "user", "content": "hello"}]
        try:
            loaded = load(tmp_path, extra)
            return "hello" in str(loaded.apply_chat_template(chat, tokenize=False))
        except (ValueError, TypeError):
            return False

    assert renders() is (given == "")
    if given:
        assert renders(chat_template=read_template(str(tmp_path / given)))


def test_code_may_stand_for_a_template(tmp_path: Path):
    settings = {"tokenizer_config.json": json.dumps({"chat_template_type": "deepseek_v32"})}
    known = Snapshot(str(write(tmp_path, settings)), ["deepseek_v32"]).template()
    assert known.exists and not known.text and not known.path
    assert known.source == "the snapshot (chat_template_type deepseek_v32)"
    # An older mlx-lm has no such code.
    assert not Snapshot(str(tmp_path), ["other"]).template().exists


def test_code_of_the_repository_may_render_chats(tmp_path: Path):
    names = {"auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}}
    write(tmp_path, {"tokenizer_config.json": json.dumps(names), "tokenization_x.py": "class X: 1"})
    assert not Snapshot(str(tmp_path)).template().exists
    write(tmp_path, {"tokenization_x.py": "class X:\n    def apply_chat_template(self): 1"})
    assert Snapshot(str(tmp_path)).template().source == "the snapshot (tokenization_x.py)"


def test_a_multimodal_server_reads_what_its_processor_reads(tmp_path: Path):
    folder = str(write(tmp_path, {"chat_template.json": inside(ONE)}))
    found = Snapshot(folder, processor=True).template()
    assert (found.text, found.path) == (ONE, "")
