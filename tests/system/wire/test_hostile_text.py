"""Hostile text stays text everywhere, and no size or shape of it stops a verb."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import MlxopsError, RegistryInvalid
from mlxops.agent.wire import values
from tests.support.asking import ask, refusal, rows
from tests.support.studio import Answer, Studio, finished
from tests.support.watching import refused

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202e\u2028\ud800x"
PLAIN = ESCAPES.replace("\ud800", "")
NAMES = {
    "shell": "'\";$(touch CANARY1)`touch CANARY2`|touch CANARY3&&#\\",
    "newlines": "one\ntwo\r\nthree",
    "dashes": "--help",
    "dash": "-rf",
    "unicode": "名前-\u0301\u200b-ßİ",
    "escapes": PLAIN,
    "path": "../../../etc/passwd",
    "percent": "%s %d {} {0.__class__} %(x)s",
    "number": "8100",
    "blank": "  ",
    "empty": "",
    "long": "n" * values.MAX_TEXT_BYTES,
}
# What JSON can hold as a name, and no argument of a verb: an edit of the file is all that reaches
# such an entry.
UNREACHABLE = {"surrogate": ESCAPES, "nul": "a\0b", "megabyte": "n" * (1 << 20)}
MANY = 10_000


def put(studio: Studio, **entries: Any) -> None:
    studio.edit(lambda registry: registry["models"].update(entries))


def printable(said: Answer) -> bool:
    return all(c == "\n" or c.isprintable() for c in said.stdout + said.stderr)


def outcome(studio: Studio, verb: str, **args: Any) -> dict[str, Any] | MlxopsError:
    """A result or a typed error; `ask` sees to it that it is no defect."""
    try:
        return ask(studio, verb, **args)
    except MlxopsError as exc:
        return exc


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_an_entry_of_any_name_is_an_entry_like_others(one: Studio, name: str) -> None:
    amber = one.entry("amber")
    ask(one, "remove", name="amber")
    put(
        one,
        **{
            name: {
                **amber,
                "repo_id": name,
                "model_id": name,
                "revision": name,
                "mine": {name: [name]},
            }
        },
    )
    assert name in [row["name"] for row in ask(one, "list")["models"]]
    assert ask(one, "set", name=name, changes={"revision": None})["changed"]
    assert ask(one, "show", what=name)["entry"]["mine"] == {name: [name]}
    port = one.ports[0]
    assert ask(one, "load", model=name, port=port)["entry"] == name
    assert rows(one)[port]["entry"] == name and rows(one)[port]["drift"] is None
    assert ask(one, "unload", port=port)["entry"] == name
    assert ask(one, "remove", name=name)["changed"] and name not in one.registry()["models"]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_an_entry_whose_name_no_argument_can_hold_stops_no_verb_for_another(
    one: Studio, name: str
) -> None:
    port = one.ports[0]
    put(one, **{name: {**one.entry("amber"), "repo_id": "tiny/odd", "mine": {name: [name]}}})
    before = one.registry_path.read_bytes()
    for verb, key, more in (
        ("set", "name", {"changes": {"revision": None}}),
        ("remove", "name", {}),
        ("show", "what", {}),
        ("load", "model", {"port": port}),
        ("unload", "port", {}),
    ):
        refused = refusal(one, verb, **{key: name, **more})
        assert (refused.kind, refused.exit_code, refused.fields["argument"]) == ("Usage", 2, key), (
            verb
        )
        assert len(refused.message) < 200
    assert one.registry_path.read_bytes() == before
    assert name in [row["name"] for row in ask(one, "list")["models"]]
    assert ask(one, "load", model="jade", port=port)["entry"] == "jade" == rows(one)[port]["entry"]
    assert ask(one, "unload", port=port)["entry"] == "jade"
    assert ask(one, "set", name="jade", changes={"revision": "x"})["changed"]
    assert one.registry()["models"][name]["mine"] == {name: [name]}


def test_what_the_registry_says_does_not_steer_the_terminal(one: Studio) -> None:
    text = dict.fromkeys(
        ("repo_id", "model_id", "format", "revision", "runtime", "chat_template"), PLAIN
    )
    more = {"args": [PLAIN], "mine": {ESCAPES: [ESCAPES]}, "my_bytes": ESCAPES}
    fields = {**text, "cache_path": "/" + PLAIN, "port": one.ports[0], **more, ESCAPES: ESCAPES}
    one.edit(lambda r: r["models"].clear())
    put(one, **{ESCAPES: fields})
    port = one.ports[0]
    for words in (
        ["list"],
        ["status"],
        ["show", port],
        ["load", "x", port],
        ["reconcile", "--dry-run"],
        ["reconcile"],
    ):
        for form in ([], ["--json"]):
            said = finished(one.start(*form, *words))
            assert printable(said) and "Traceback" not in said.stderr, said
            assert words == ["reconcile"] or "owned" in said.stdout + said.stderr


def test_what_a_host_file_says_does_not_steer_the_terminal(one: Studio) -> None:
    path = one.hosts_dir / "studio.toml"
    good = path.read_text()
    for line in (
        'bind = "\\u001b]0;owned\\u0007"',
        '"\\u001b[2J" = 1',
        "\x1b[2J = 1",
        "x = " + "[" * 100_000,
    ):
        path.write_text(good.replace("[studio]", f"[studio]\n{line}"))
        said = finished(one.start("status"))
        assert said.exit == 2 and printable(said) and "Traceback" not in said.stderr, said


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_path_and_no_command_line_can_hold(one: Studio, text: str) -> None:
    amber = one.entry("amber")
    for key in ("repo_id", "cache_path", "chat_template", "tool_call_parser", "args"):
        put(one, amber={**amber, key: [text] if key == "args" else text})
        assert refusal(one, "init").fields["field"] == key
        assert ask(one, "list")["error"]["field"] == key
    put(one, **{"amber": amber, text: {**amber, "repo_id": "tiny/odd"}})
    host = one.hosts_dir / "studio.toml"
    host.write_text(host.read_text().split("[slots.")[0])
    assert refusal(one, "load", model=text, port=one.ports[0]).fields["argument"] == "model"
    # By its repository it is found; its name is what the server would be called.
    failed = refusal(one, "load", model="tiny/odd", port=one.ports[0])
    assert failed.kind == "Failed" and "cannot start" in failed.message and one.assignments() == {}


@pytest.mark.slow
def test_ten_thousand_entries(one: Studio) -> None:
    amber = one.entry("amber")
    put(
        one,
        **{
            f"e{n:05}": {**amber, "repo_id": f"org/e{n}", "model_id": f"org/e{n}"}
            for n in range(MANY)
        },
    )
    port, took = one.ports[0], {}
    for verb, args in (
        ("list", {}),
        ("status", {}),
        ("init", {}),
        ("reconcile", {}),
        ("show", {"what": "e00001"}),
        ("load", {"model": "nonesuch-e0", "port": port}),
        ("set", {"name": "e00002", "changes": {"revision": "r"}}),
        ("load", {"model": "e09999", "port": port}),
        ("unload-all", {}),
    ):
        began = time.monotonic()
        outcome(one, verb, **args)
        took[f"{verb} {args}"] = round(time.monotonic() - began, 2)
    assert len(ask(one, "list")["models"]) == MANY + 3 and one.entry("e00002")["revision"] == "r"
    assert max(took.values()) < 15, took


def test_a_word_and_a_name_of_a_megabyte(one: Studio) -> None:
    """The search for near matches is fast, and is skipped for a word longer than any argument."""
    amber, longest = one.entry("amber"), values.MAX_TEXT_BYTES
    put(one, **{"ab" * 60_000: amber, "ab" * (longest // 2): amber})
    began = time.monotonic()
    assert (
        refusal(one, "load", model="ba" * (longest // 2 - 1) + "c", port=one.ports[0]).kind
        == "ModelUnknown"
    )
    assert refusal(one, "load", model="amber", port="ba" * (longest // 2 - 1) + "c").kind == "Usage"
    assert (
        refusal(one, "load", model="ba" * 55_000 + "c", port=one.ports[0]).fields["argument"]
        == "model"
    )
    assert time.monotonic() - began < 15


def test_arguments_too_long_for_the_kernel_stop_nothing(one: Studio) -> None:
    port = one.ports[0]
    put(one, amber={**one.entry("amber"), "args": ["--log-file", "1" * (1 << 20)]})
    put(one, topaz={**one.entry("topaz"), "args": ["--context-length", "1" * 100_000]})
    ask(one, "load", model="jade", port=port)
    pid = rows(one)[port]["pid"]
    failed = refusal(one, "load", model="amber", port=port, replace=True)
    assert failed.kind == "Failed" and "too long" in failed.message
    # No number of that length is one for the program, which is known before anything is stopped.
    failed = refusal(one, "load", model="topaz", port=port, replace=True)
    assert (
        failed.kind == "Failed" and "would reject" in failed.message and len(failed.message) < 500
    )
    assert one.assignments() == {"jade": port} and rows(one)[port]["pid"] == pid


@pytest.mark.slow
@pytest.mark.parametrize("depth", [100, 400, 900])
def test_fields_nested_deep(one: Studio, depth: int) -> None:
    nested = '{"x":' * depth + "1" + "}" * depth
    text = one.registry_path.read_text().replace('"amber": {', f'"amber": {{"x": {nested},')
    one.registry_path.write_text(text)
    for words in (
        ["list"],
        ["status"],
        ["show", "amber"],
        ["set", "jade", "revision=x"],
        ["remove", "amber"],
    ):
        for form in ([], ["--json"]):
            said = finished(one.start(*form, *words))
            assert said.exit in (0, 5, 9) and "defect" not in said.stdout + said.stderr, (
                words,
                said,
            )


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.slow
@pytest.mark.parametrize("make", [directory, loop, fifo, endless])
def test_a_registry_that_is_no_file(one: Studio, make: Callable[[Path], None]) -> None:
    content = one.registry_path.read_bytes()
    make(one.registry_path)
    for words in (["list"], ["status"], ["set", "amber", "revision=x"], ["init"], ["unload-all"]):
        refused(finished(one.start("--json", *words), 20), 5, "RegistryInvalid")
    one.registry_path.rmdir() if one.registry_path.is_dir() else one.registry_path.unlink()
    one.registry_path.write_bytes(content)


def test_a_registry_that_is_a_link_stays_one(one: Studio) -> None:
    real = one.folder / "elsewhere" / "registry.json"
    real.parent.mkdir()
    one.registry_path.rename(real)
    one.registry_path.symlink_to(real)
    assert ask(one, "set", name="amber", changes={"revision": "x"})["changed"]
    assert one.registry_path.is_symlink() and one.entry("amber")["revision"] == "x"
    assert (
        real.with_name("registry.json.bak").exists()
        and real.with_name("registry.json.lock").exists()
    )


def test_a_registry_that_may_not_be_read(one: Studio) -> None:
    if os.getuid() == 0:
        one.registry_path.chmod(0)
        in_the_name_of_nobody(one)
        one.folder.chmod(0o755)
    else:
        one.registry_path.chmod(0)
    for verb, args in (
        ("reconcile", {}),
        ("set", {"name": "amber", "changes": {"revision": "x"}}),
    ):
        error = refusal(one, verb, **args)
        assert isinstance(error, RegistryInvalid) and "denied" in error.message
    # Its copy may be read.
    listed = ask(one, "list")
    assert listed["models"] and "denied" in listed["error"]["message"]


def in_the_name_of_nobody(studio: Studio) -> None:
    wrapper = studio.folder / "python-as-nobody"
    python = next(
        path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()
    )
    wrapper.write_text(
        f'#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {python} "$@"\n'
    )
    wrapper.chmod(0o755)
    for folder in (studio.folder, *list(studio.folder.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    subprocess.run(["chown", "-R", "65534", str(studio.hub.parent)], check=True)
    subprocess.run(["chown", "0", str(studio.registry_path)], check=True)
    studio.describe(python=str(wrapper), state_dir=str(studio.hf_home / "state"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        {"again": "x", "since": "2999", "entries": 5},
        {"pid": "abc", "entries": [[]], "again": "x"},
        [],
        "x",
    ],
)
def test_whatever_a_lock_of_a_port_says(one: Studio, said: Any) -> None:
    """Anyone with write access there can write any text, or place a file with a similar name beside
    it."""
    port = one.ports[0]
    Path(f"{one.registry_path}.{port}.lock").write_text(json.dumps(said))
    Path(f"{one.registry_path}.\u00b2.lock").touch()
    assert rows(one)[port]["state"] == "free"
    assert ask(one, "reconcile")["actions"] == []
    assert ask(one, "load", model="amber", port=port)["changed"]
    assert ask(one, "unload", port=port)["changed"]
