"""register, set and show by hand, and the name a port answers to when an entry brings a runtime of
its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio
from tests.support.watching import refused

CONFLICT = "AssignmentConflict"


def test_a_blank_is_no_part_of_a_name(known: Studio) -> None:
    before = known.registry()
    assert known.mlxops("register", "a b", "tiny/new").exit == 2
    assert known.registry() == before


def test_what_is_given_for_a_known_model_is_never_dropped_in_silence(known: Studio) -> None:
    given = ("--arg=--context-length", "--arg", "64")
    assert known.mlxops("register", "new", "tiny/amber", *given).error["entry"] == "amber"
    error = known.mlxops("register", "amber", "tiny/amber", *given).error
    assert (error["kind"], error["entry"], error["keys"]) == (
        CONFLICT,
        "amber",
        ["args"],
    )
    assert known.must("register", "amber", "tiny/amber")["actions"][0]["action"] == "keep"


def test_list_tells_the_state_of_the_files_and_sorts_by_name(known: Studio) -> None:
    (Path(known.entry("jade")["cache_path"]) / "model.safetensors").unlink()
    shutil.rmtree(Path(known.entry("amber")["cache_path"]))
    known.must("register", "Best", "tiny/new")
    known.must("set", "topaz", f"slot={known.ports[1]}")
    models = known.must("list")["models"]
    assert [(m["name"], m["files"]) for m in models] == [
        ("amber", "gone"),
        ("Best", None),
        ("jade", "incomplete"),
        ("topaz", "ok"),
    ]
    assert models[2]["problem"] == "model.safetensors is missing"
    assert models[3]["slot_name"] == known.slot(known.ports[1])
    assert known.must("list", "--loaded")["models"] == []


def test_one_folder_in_another_spelling_is_one_folder(known: Studio, tmp_path: Path) -> None:
    path = known.entry("amber")["cache_path"]
    link = tmp_path / "link"
    link.symlink_to(path)
    before = known.registry()
    for spelling in (path, f"{path}/", f"{path}/../{Path(path).name}", link):
        assert not known.must("set", "amber", f"cache_path={spelling}")["changed"]
        error = refused(known.mlxops("set", "jade", f"cache_path={spelling}"), 7, CONFLICT)
        assert error["message"].endswith("is the folder of amber") and error["entry"] == "amber"
    assert known.registry() == before
    known.must("set", "amber", "repo_id=local/mine")
    error = refused(known.mlxops("register", "again", "tiny/amber"), 7, CONFLICT)
    assert error["message"] == "again was not added: tiny/amber is already registered as amber"


def test_a_path_is_absolute_and_without_detours(known: Studio, tmp_path: Path) -> None:
    known.must("set", "amber", f"cache_path={tmp_path}//x/../y/")
    assert known.entry("amber")["cache_path"] == f"{tmp_path}/y"
    assert known.mlxops("set", "amber", "cache_path=models/amber").exit == 2
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "near").symlink_to(tmp_path / "far" / "deep")
    known.must("set", "amber", f"cache_path={tmp_path}/near/..")  # is far, not tmp_path
    assert os.path.samefile(known.entry("amber")["cache_path"], tmp_path / "far")


def test_a_revision_is_set_with_its_snapshot(known: Studio) -> None:
    main = Path(known.entry("amber")["cache_path"])
    other = main.with_name("0" * 40)
    shutil.copytree(main, other)
    known.must("load", "amber", known.ports[0])
    planned = known.must("set", "amber", "revision=0000000", "--dry-run")["actions"]
    assert [a["reason"].partition(":")[0] for a in planned] == ["cache_path", "revision"]
    known.must("set", "amber", "revision=0000000")
    assert known.entry("amber")["cache_path"] == str(other)
    assert known.port_row(known.ports[0])["drift"] == "mismatch"
    known.must("load", "amber", known.ports[0], "--replace")
    assert known.port_row(known.ports[0])["drift"] is None
    assert known.entry("amber")["cache_path"] == str(other)
    known.must("set", "amber", "revision=")
    assert known.entry("amber")["cache_path"] == str(main)


def test_a_revision_that_is_not_here_leaves_no_other_in_its_place(
    known: Studio, tmp_path: Path
) -> None:
    path = known.entry("amber")["cache_path"]
    known.must("set", "amber", "revision=v2")
    assert known.entry("amber")["cache_path"] == ""
    known.must("set", "amber", "revision=v2", f"cache_path={path}")
    assert known.entry("amber")["cache_path"] == path
    shutil.copytree(path, tmp_path / "own")
    known.must("set", "amber", f"cache_path={tmp_path / 'own'}")
    known.must("set", "amber", "revision=v3")
    assert known.entry("amber")["cache_path"] == str(tmp_path / "own")


def test_a_slot_is_set_by_its_name_as_well(known: Studio) -> None:
    port = known.ports[1]
    known.must("set", "amber", f"slot={known.slot(port)}")
    assert known.entry("amber")["slot"] == port


def test_show_names_no_command_for_an_entry_without_a_port(known: Studio) -> None:
    port = known.ports[1]
    assert known.must("show", "amber")["command"] is None
    known.must("set", "amber", f"slot={port}")
    assert str(port) in known.must("show", "amber")["command"]


def test_a_port_that_would_answer_to_another_name_is_told(known: Studio, tmp_path: Path) -> None:
    light = FakeRuntime(tmp_path / "light", "mlx_lm.server")
    with (known.hosts_dir / "studio.toml").open("a") as file:
        file.write(f'\n[runtimes."mlx_lm.server"]\ncommand = ["{light.program}"]\n')
    port = known.ports[0]
    assert known.must("load", "jade", port, "--dry-run")["warnings"] == []
    known.must("set", "amber", "runtime=mlx_lm.server")
    warnings = known.must("load", "amber", port, "--dry-run")["warnings"]
    assert [w for w in warnings if "default_model" in w and known.slot(port) in w], warnings


def test_init_names_a_model_that_cannot_be_used_as_it_lies_there(studio: Studio) -> None:
    (snapshot,) = studio.hub.glob("models--tiny--amber/snapshots/*")
    (snapshot / "tokenizer.json").unlink()
    answer = studio.mlxops("init")
    assert answer.exit == 0 and "warning: skipping tiny/amber" in answer.stderr, answer
    assert "tokenizer.json is missing; to complete it: mlxops pull tiny/amber" in " ".join(
        answer.stderr.split()
    )
    assert "jade" not in answer.stderr
    assert "amber" not in studio.registry()["models"]


def test_a_hint_can_be_pasted_whatever_the_entry_is_called(known: Studio) -> None:
    name = "my amber; echo hello"
    known.edit(lambda registry: registry["models"].update({name: registry["models"].pop("amber")}))
    known.edit(lambda registry: registry["models"][name].update(chat_template="/nowhere"))
    hint = known.mlxops("load", name, known.ports[0]).error["hint"]
    assert hint.startswith("mlxops set 'my amber; echo hello' chat_template=")


def test_a_runtime_that_is_not_on_the_host_is_reported_at_once(known: Studio) -> None:
    for words in (["set", "amber"], ["register", "new", "tiny/new", "--runtime"]):
        mistyped = "mlx_lm.servr" if "--runtime" in words else "runtime=mlx_lm.servr"
        assert "mlx_lm.server" in known.mlxops(*words, mistyped).error["hint"]
    for words in (
        ["set", "amber", "runtime=vllm"],
        ["register", "new", "tiny/new", "--runtime", "vllm"],
    ):
        answer = known.mlxops(*words)
        assert answer.exit == 0 and "warning: vllm is not installed on studio" in answer.stderr
    assert "warning" not in known.mlxops("set", "amber", "runtime=").stderr
