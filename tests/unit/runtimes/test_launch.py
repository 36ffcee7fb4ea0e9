"""The template that a server is started with, if its entry names a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlxops.agent.errors import Failed
from mlxops.agent.ports.diagnosis import diagnose
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.launch import launch_of, template_text, write_template_copy
from mlxops.agent.runtimes.table import RUNTIMES
from tests.support.evidence import OPENAI, serving, wanting

SERVER, LIGHT = RUNTIMES["mlx-openai-server"], RUNTIMES["mlx_lm.server"]


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    path = tmp_path / "chat_template.json"
    path.write_text(json.dumps({"chat_template": "{{ messages }}"}))
    return Entry("a", {**REQUIRED, "chat_template": str(path)})


def copy_of(entry: Entry, state: Path) -> Path:
    return Path(launch_of(entry, 8100, "", "a", state_dir=str(state)).chat_template or "")


def test_a_runtime_that_takes_a_path_gets_a_copy(entry: Entry, tmp_path: Path):
    write_template_copy(str(tmp_path), SERVER, entry)
    copy = copy_of(entry, tmp_path)
    assert copy.suffix == ".jinja" and copy.read_text() == "{{ messages }}"
    assert copy.parent == tmp_path / "templates" and copy.parent.stat().st_mode & 0o077 == 0
    Path(entry.fields["chat_template"]).write_text(json.dumps({"chat_template": "{{ tools }}"}))
    write_template_copy(str(tmp_path), SERVER, entry)
    assert copy.read_text() == "{{ tools }}" and os.listdir(copy.parent) == [copy.name]


def test_the_copy_that_is_there_is_enough(entry: Entry, tmp_path: Path):
    """A previous server comes back on a full disk too."""
    write_template_copy(str(tmp_path), SERVER, entry)
    before = copy_of(entry, tmp_path).stat()
    write_template_copy(str(tmp_path), SERVER, entry)
    assert copy_of(entry, tmp_path).stat().st_mtime_ns == before.st_mtime_ns


def test_a_runtime_that_takes_the_text_gets_it(entry: Entry, tmp_path: Path):
    assert template_text(LIGHT, entry) == "{{ messages }}"
    write_template_copy(str(tmp_path), LIGHT, entry)
    assert not (tmp_path / "templates").exists()


def test_a_file_without_a_template_starts_nothing(entry: Entry, tmp_path: Path):
    Path(entry.fields["chat_template"]).write_text("[]")
    for runtime in (SERVER, LIGHT):
        with pytest.raises(Failed, match="cannot read the chat template"):
            write_template_copy(str(tmp_path), runtime, entry)
            template_text(runtime, entry)


def test_a_copy_that_cannot_be_written_is_told(entry: Entry, tmp_path: Path):
    (tmp_path / "templates").write_text("")
    with pytest.raises(Failed, match="cannot write"):
        write_template_copy(str(tmp_path), SERVER, entry)


@pytest.mark.parametrize(
    ("path", "drift"), [("/s/chat_template.json", None), ("/t.json", "mismatch")]
)
def test_a_server_with_the_copy_has_the_template_of_its_entry(path: str, drift: str | None):
    there = Entry("a", {**REQUIRED, "chat_template": "/s/chat_template.json"})
    line = f"{OPENAI} --chat-template-file {copy_of(there, Path('/state'))}"
    assert diagnose(serving(line), wanting(chat_template=path)).drift == drift
