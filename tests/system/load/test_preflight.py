"""A load that can be known to fail stops nothing: damaged files, wrong args, ports, programs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.padding import padding
from tests.support.studio import Studio
from tests.support.watching import refused

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 99\n"


@pytest.fixture
def here(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    """amber serves on the first port, by this machine's own agent."""
    studio = make_studio(None, studio_runtime)
    init_copies.init(studio)
    studio.must("load", "amber", studio.ports[0])
    return studio


def swap(
    studio: Studio, runtime: FakeRuntime, *words: object, code: int, kind: str
) -> dict[str, Any]:
    """The error of a swap to jade that was refused, with and without a dry run; amber still
    serves."""
    for more in ((), ("--dry-run",)):
        error = refused(
            studio.mlxops("load", "jade", studio.ports[0], "--replace", *words, *more), code, kind
        )
    assert runtime.journal("signal") == [] and len(runtime.journal("started")) == 1
    assert studio.assignments() == {"amber": studio.ports[0]}
    return error


def write_args(studio: Studio, words: str, runtime: str | None = None) -> None:
    """Give jade these args as a text editor would: `set` refuses them."""
    fields = {"args": shlex.split(words), **({"runtime": runtime} if runtime else {})}
    studio.edit(lambda registry: registry["models"]["jade"].update(fields))


def spoil(studio: Studio, name: str, content: bytes | None) -> Path:
    path = Path(studio.entry("jade")["cache_path"]) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    return path


WHOLE = model_files([" JADE"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (
            "model.safetensors",
            WHOLE["model.safetensors"][: len(WHOLE["model.safetensors"]) // 2],
            "truncated",
        ),
        ("model.safetensors", POINTER, "Git LFS"),
        ("model.safetensors", None, "missing"),
        ("tokenizer.json", bytes(4000), "zeros"),
        ("tokenizer.json", b"", "is empty"),
        ("tokenizer_config.json", b"<html>404</html>", "HTML"),
        ("config.json", b"[]", "not a JSON object"),
    ],
)
def test_damaged_files(
    here: Studio, fake_runtime: FakeRuntime, name: str, content: bytes | None, why: str
) -> None:
    spoil(here, name, content)
    for words in ((), ("--force",)):
        error = swap(here, fake_runtime, *words, code=9, kind="ModelMissing")
        assert f"{name} is " in error["message"] and why in error["message"], error


@pytest.mark.slow
def test_a_stale_index_stops_nobody_from_loading(here: Studio) -> None:
    path = Path(here.entry("jade")["cache_path"])
    (path / "model.safetensors").rename(path / "model-00001-of-00001.safetensors")
    spoil(
        here,
        "model.safetensors.index.json",
        b'{"weight_map": {"a": "model-00001-of-00007.safetensors"}}',
    )
    result = here.must("load", "jade", here.ports[1])
    assert "index.json does not match the files" in str(result["warnings"])


@pytest.mark.slow
def test_a_tokenizer_of_kimi_and_an_unknown_one_with_force(here: Studio) -> None:
    path = spoil(here, "tokenizer.json", None)
    refused(here.mlxops("load", "jade", here.ports[1]), 9, "ModelMissing")
    assert "forced" in str(here.must("load", "jade", here.ports[1], "--force")["warnings"])
    here.must("unload", here.ports[1])
    path.with_name("tiktoken.model").write_bytes(b"x")
    here.must("load", "jade", here.ports[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--draft-model-path /no/such/draft", "/no does not exist"),
        ("--draft-model-path=/no/such/draft", "/no does not exist"),
        ("--draft-model-path ~/draft", "~ is not expanded"),
        ("--draft-model-path draft", "no such path; write the full path"),
        ("--lora-paths {hub},/no/such.safetensors", "/no does not exist"),
        ("--prompt-cache-dir /no/such/cache", "/no does not exist"),
        ("--chat-template-file /no/such.jinja", "/no does not exist"),
    ],
)
def test_words_of_args_that_name_what_is_not_there(
    here: Studio, fake_runtime: FakeRuntime, words: str, why: str
) -> None:
    write_args(here, words.format(hub=here.hub))
    error = swap(here, fake_runtime, code=1, kind="Failed")
    assert why in error["message"] or "is not a file" in error["message"], error


@pytest.mark.slow
def test_a_draft_model_is_counted_and_never_downloaded(
    here: Studio, fake_runtime: FakeRuntime
) -> None:
    before = here.must("fit", "jade")
    change = ("set", "jade", "args=--draft-model-path big/draft")
    unset = refused(here.mlxops(*change), 9, "ModelMissing")
    write_args(here, "--draft-model-path big/draft")
    for error in (unset, swap(here, fake_runtime, code=9, kind="ModelMissing")):
        assert error["hint"] == "download it first: mlxops pull big/draft"
        assert error["repo_id"] == "big/draft"
    files = {**model_files([" DRAFT"]), "model-more.safetensors": padding(40 << 20)}
    here.add("big/draft", files)
    after = here.must("fit", "jade")
    assert (
        after["second_bytes"] > 40 << 20
        and after["need_bytes"] - before["need_bytes"] == after["second_bytes"]
    )
    here.must("load", "jade", here.ports[0], "--replace")


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1"])
@pytest.mark.parametrize("state", ["bound", "connected"])
def test_a_port_that_somebody_holds_without_listening(
    here: Studio, address: str, state: str
) -> None:
    port = here.ports[1]
    if state == "connected" and address != "127.0.0.1":
        pytest.skip("one address shows it")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as thief, socket.socket() as other:
        thief.bind((address, port))
        if state == "connected":
            other.bind(("127.0.0.1", 0))
            other.listen()
            thief.connect(other.getsockname())
        for words in ((), ("--dry-run",)):
            error = refused(here.mlxops("load", "jade", port, *words), 7, "PortBusy")
            assert "is not listening" in error["message"] and error["addresses"]
    here.must("load", "jade", port)


@pytest.mark.slow
def test_an_address_beside_the_occupants(here: Studio, fake_runtime: FakeRuntime) -> None:
    with socket.socket(socket.AF_INET6) as thief:
        thief.bind(("::1", here.ports[0]))
        assert "::1" in swap(here, fake_runtime, code=7, kind="PortBusy")["message"]


@pytest.mark.slow
def test_an_address_that_the_host_does_not_have(here: Studio, fake_runtime: FakeRuntime) -> None:
    here.describe(bind="203.0.113.7")
    error = swap(here, fake_runtime, code=1, kind="Failed")
    assert "203.0.113.7" in error["message"] and "bind" in error["hint"]


@pytest.mark.slow
def test_a_start_whose_port_is_taken_meanwhile_ends_at_once(
    here: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("jade", prints="OSError: [Errno 98] Address already in use", load_s=60)
    error = refused(
        here.mlxops("load", "jade", here.ports[0], "--replace", timeout_s=25), 8, "NotReady"
    )
    assert "amber serves again" in error["message"]
    assert here.assignments() == {"amber": here.ports[0]}


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["interpreter", "module", "mode"])
def test_a_program_that_no_longer_starts(
    here: Studio, fake_runtime: FakeRuntime, tmp_path: Path, fate: str
) -> None:
    program = fake_runtime.program
    text = program.read_text()
    if fate == "interpreter":
        python = tmp_path / "bin" / "python3"
        python.symlink_to(sys.executable)
        program.write_text(text.replace(sys.executable, str(python)))
        here.must("load", "jade", here.ports[1])
        here.must("unload", here.ports[1])
        python.unlink()
    elif fate == "module":
        program.write_text(text.replace("import sys", "import sys, no_such_module"))
    else:
        program.chmod(0o644)
    answer = here.mlxops("load", "jade", here.ports[0], "--replace")
    assert answer.exit == 1 and here.assignments() == {"amber": here.ports[0]}, answer
    assert str(python if fate == "interpreter" else program) in answer.error["message"]
    assert {"interpreter": "is missing", "module": "no_such_module", "mode": "not found"}[
        fate
    ] in answer.error["message"]
    assert os.kill(here.entry("amber")["process"]["pid"], 0) is None
    shutil.copy(program, tmp_path / "kept")
    program.write_text(text)
    program.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--max-tokens notanumber", "notanumber is not a whole number"),
        ("--max-tokens", "--max-tokens needs a value"),
        ("--debug stray", "stray belongs to no option"),
        ("--log-level LOUD", "--log-level LOUD is not one of DEBUG"),
        ("--temperature=abc", "abc is not a number"),
    ],
)
def test_words_of_args_that_the_program_would_not_take(
    here: Studio, fake_runtime: FakeRuntime, words: str, why: str
) -> None:
    write_args(here, words)
    error = swap(here, fake_runtime, code=1, kind="Failed")
    assert why in error["message"] and "mlxops set jade args=" in error["hint"], error


@pytest.mark.slow
def test_a_value_that_only_the_program_itself_knows_to_be_wrong(
    here: Studio, fake_runtime: FakeRuntime, light_runtime: dict[str, Any]
) -> None:
    file = here.hosts_dir / "studio.toml"
    file.write_text(
        f'{file.read_text()}\n[runtimes."mlx_lm.server"]\n'
        f'command = ["{light_runtime["command"][0]}"]\n'
    )
    write_args(here, "--temp=abc", "mlx_lm.server")
    error = swap(here, fake_runtime, code=1, kind="Failed")
    assert "argument --temp: invalid float value: 'abc'" in error["message"], error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"model_type": "qwen3"}', "missing"),
        (
            json.dumps({**json.loads(WHOLE["config.json"]), "hidden_size": "many"}).encode(),
            "Error: ",
        ),
    ],
)
def test_a_config_from_which_no_model_can_be_built(
    here: Studio, fake_runtime: FakeRuntime, content: bytes, why: str
) -> None:
    spoil(here, "config.json", content)
    error = swap(here, fake_runtime, code=1, kind="Failed")
    assert (
        "config.json" in error["message"] and why in error["message"] and "--force" in error["hint"]
    ), error


@pytest.mark.slow
def test_a_config_that_its_runtime_cannot_be_asked_about_stops_no_load(
    here: Studio, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    """As if its interpreter had no mlx-lm."""
    spoil(here, "config.json", b'{"model_type": "qwen3"}')
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    program = fake_runtime.program
    program.write_text(program.read_text().replace(f"#!{sys.executable}", f"#!{python}"))
    here.must("load", "jade", here.ports[0], "--replace")


@pytest.mark.slow
def test_a_chat_template_with_an_error(
    here: Studio, fake_runtime: FakeRuntime, tmp_path: Path
) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("{% for m in messages %}\n{{ m['content' }}\n{% endfor %}")
    here.must("set", "jade", f"chat_template={template}")
    error = swap(here, fake_runtime, code=1, kind="Failed")
    assert f"{template} has an error: line 2" in error["message"], error
    kept = (
        "{% for m in messages %}{% generation %}{{ m }}{%- endgeneration -%}{% break %}{% endfor %}"
    )
    template.write_text(kept)
    here.must("load", "jade", here.ports[0], "--replace")


def test_a_port_without_a_slot_is_named_before_clients_notice_a_swap(here: Studio) -> None:
    file = here.hosts_dir / "studio.toml"
    port = here.ports[1]
    file.write_text(file.read_text().replace(f'[slots.{port}]\nname = "{here.slot(port)}"\n', ""))
    warnings = here.must("load", "jade", port, "--dry-run")["warnings"]
    assert [one for one in warnings if f"port {port} has no slot" in one and "ask for jade" in one]
    assert here.must("load", "amber", here.ports[0])["warnings"] == []
