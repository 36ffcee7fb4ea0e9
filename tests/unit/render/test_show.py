"""The page of an entry and its port."""

from __future__ import annotations

import re
import shlex
import time
from typing import Any

from mlxops.render.show import page
from mlxops.render.style import Style
from mlxops.render.width import width
from tests.support.statusrows import FREE, PLAIN, READY


def days_ago(count: int) -> str:
    """A time that stays so many days ago for as long as the tests run."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86400 * count - 1))


PATH = "/models/hub/models--org--qwen/snapshots/0123456789abcdef0123456789abcdef01234567"
COMMAND = ["/opt/bin/server", "launch", "--model-path", PATH, "--name", "a b", "--port", "8100"]
ENTRY = {
    "name": "qwen",
    "repo_id": "org/qwen",
    "model_id": "org/qwen",
    "format": "mlx",
    "port": 8100,
    "slot": 8100,
    "slot_name": "jerry-xl",
    "wanted": 8100,
    "cache_path": PATH,
    "size_bytes": 20_000_000_000,
    "files": "ok",
    "problem": None,
    "revision": None,
    "args": [],
    "process": {
        "pid": 7,
        "argv": COMMAND,
        "launched_at": days_ago(3),
        "launched_by": "me@vm",
        "family": [{"pid": 8}],
    },
    "start_s": {"mlx-openai-server": [45.19, 10.54]},
}
LOADED = {"since": days_ago(3), "port": 8100, "who": "me", "from": "vm", "message": None}
FAILED = {**LOADED, "since": days_ago(9), "port": 8101, "message": "no room"}
SOURCES = {
    "runtime": {"value": "mlx-openai-server", "from": "the host file"},
    "chat_template": {"value": None, "from": "not set: the snapshot has one"},
    "args": {"value": [], "from": "not set; no default"},
}
RESULT = {
    "entry": ENTRY,
    "port": READY | {"runtime": "mlx-openai-server"},
    "command": COMMAND,
    "sources": SOURCES,
    "last_load": LOADED,
    "last_failure": FAILED,
}
PAGE = """\
qwen
  repo          org/qwen
  files         20.0 GB, complete
  slot          jerry-xl (8100)
  last load     3 d ago on 8100 by me@vm
  last failure  9 d ago on 8101: no room
  starts in     45 s, 11 s (mlx-openai-server)
port 8100 (jerry-xl)
  state    ready for 2 h 04 m, answers in 12 ms
  serves   jerry-xl, by mlx-openai-server
  memory   191 GiB
  process  pid 7, started 3 d ago by me@vm
settings
  runtime        mlx-openai-server  the host file
  chat_template  not set: the snapshot has one
start command
  {command}"""


def changed(**entry: Any) -> str:
    return page({**RESULT, "port": None, "command": None, "entry": {**ENTRY, **entry}}, PLAIN)


def test_an_entry_on_its_port() -> None:
    assert page(RESULT, PLAIN) == PAGE.format(command=shlex.join(COMMAND))


def test_a_free_port_is_two_lines() -> None:
    none = dict.fromkeys(("entry", "command", "sources", "last_load", "last_failure"))
    assert page({**none, "port": FREE}, PLAIN).splitlines() == ["port 8101", "  state  free"]
    failed = page({**none, "port": FREE, "last_failure": FAILED}, PLAIN).splitlines()
    assert failed[2:] == ["loads", "  last failure  9 d ago on 8101: no room"]


def test_the_files_and_where_they_are() -> None:
    text = changed(files="incomplete", problem="model.safetensors is missing")
    assert "\n  files         incomplete: model.safetensors is missing\n" in text
    assert f"\n  path          {PATH}\n" in text
    text = changed(files=None, cache_path=None, size_bytes=None)
    assert "  files         not downloaded\n" in text and "path " not in text


def test_no_line_is_a_dash_a_field_of_the_wire_or_said_twice() -> None:
    text = page(RESULT, PLAIN)
    assert text.count("org/qwen") == 1 and text.count(PATH) == 1
    assert not re.search(r"_bytes|_s\b|family|argv|^ +\S+ +-$", text, re.M)


def test_a_trial_and_a_lost_model_say_so() -> None:
    trial = {**ENTRY["process"], "keep": False}  # type: ignore[dict-item]
    assert "(--no-keep)" in page({**RESULT, "entry": {**ENTRY, "process": trial}}, PLAIN)
    assert "\n  wanted        on 8102\n" in changed(port=None, wanted=8102)


def test_fields_that_only_the_registry_knows_are_shown_too() -> None:
    text = changed(note="keep me", mine={"a": ["b"]}, hosts=["studio=10.0.0.1"])
    assert "  note          keep me\n" in text and '  mine          {"a": ["b"]}\n' in text
    assert "  hosts         studio=10.0.0.1\n" in text


def test_trouble_comes_with_its_reason_and_the_next_command() -> None:
    port = READY | {"drift": "mismatch", "reason": "serves another model", "next": "mlxops x"}
    lines = page({**RESULT, "port": port}, PLAIN).splitlines()
    at = lines.index("  drift    mismatch")
    assert lines[at + 1 : at + 3] == ["  reason   serves another model", "  next     mlxops x"]


def test_on_a_terminal_the_command_can_still_be_copied() -> None:
    text = page(RESULT, Style(width=60))
    assert all(width(line) <= 60 for line in text.splitlines() if PATH not in line)
    command = text.partition("start command\n")[2]
    assert shlex.split(command.replace("\\\n", "")) == COMMAND and command.count("\\\n") > 1
