"""The text of a new host file, and how it is written."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from mlxops.hosts.files import Ssh, parse_host
from mlxops.hosts.template import Draft, Exists, host_file_text, write_new

PATH = Path("/hosts/lab.toml")


def test_only_what_differs_from_the_defaults_is_active() -> None:
    text = host_file_text(Draft(name="lab", ssh=Ssh(host="lab")))
    assert tomllib.loads(text) == {
        "ssh": {"host": "lab"},
        "studio": {"hf_home": "~/.cache/huggingface"},
        "runtime": {},
    }


def test_the_lines_after_a_hash_are_the_defaults_and_valid() -> None:
    plain = parse_host(PATH, host_file_text(Draft(name="lab", ssh=Ssh(host="lab"))))
    text = host_file_text(Draft(name="lab", ssh=Ssh(host="lab")))
    active = re.sub(r"^# (?=[\w.]+ = |\[)", "", text, flags=re.M)
    slots = active.index("[slots")
    full = parse_host(PATH, active[:slots])
    assert full.site["runtime"].pop("command") == [plain.site["runtime"]["name"]]
    plain.site["runtime"].pop("command")
    assert full.site == plain.site
    assert parse_host(PATH, active).slots == {"chat": 8100}


@pytest.mark.parametrize("word", ['a "quoted" one', "back\\slash", "Modèles 模型 😀"])
def test_any_word_comes_back_as_it_was(word: str) -> None:
    draft = Draft(name="lab", ssh=None, hf_home=f"/{word}", runtime=word, command=(f"/{word}", "x"))
    draft = replace(draft, model_dirs=(f"/{word}", "~/b"))
    host = parse_host(PATH, host_file_text(draft))
    assert host.site["model_dirs"] == [f"/{word}", "~/b"]
    assert host.transport == "local" and host.site["hf_home"] == f"/{word}"
    assert host.site["runtime"]["command"] == [f"/{word}", "x"]


def test_a_file_is_never_replaced_unasked_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/lab.toml"
    write_new(path, "one", replace=False)
    with pytest.raises(Exists):
        write_new(path, "two", replace=False)
    assert path.read_text() == "one"
    write_new(path, "two", replace=True)
    assert path.read_text() == "two" and [*path.parent.iterdir()] == [path]
