"""Verbs that do not call a host: help, hosts, cron, completion."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxops.cli.root import VERBS, root
from mlxops.cli.verb import HelpRequested
from tests.support.cli_standin import HOST_FILE, Ended, Studio, lab

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")


def test_hosts_lists_what_there_is_even_when_one_file_is_broken(lab: Path) -> None:
    (lab / "hosts" / "bad.toml").write_text("transport = 3\n")
    ended = Ended(Studio(), "hosts", "--json", "--host", "lab")
    assert ended.code == 1
    assert ended.document["error"]["hosts"] == ["bad"]
    bad, good = ended.document["result"]["hosts"]
    assert (good["name"], good["chosen"], good["ports"], good["error"]) == (
        "lab",
        True,
        [8100, 8101],
        None,
    )
    assert (bad["name"], bad["chosen"], bad["transport"]) == ("bad", False, None)
    assert "transport" in bad["error"]
    told = Ended(Studio(), "hosts").out
    assert "broken: " in told
    assert "there is more than one host file; choose one for good (mlxops hosts use NAME)" in told
    assert told.rstrip().endswith("or for now (--host NAME): bad, lab")


def test_hosts_warns_of_slots_that_conflict(lab: Path) -> None:
    slots = '[slots.8100]\nname = "tom"\nmodel = "o/a"\nserved_name = "jerry"\n'
    (lab / "hosts" / "lab.toml").write_text(f'{HOST_FILE}model = "o/a"\n{slots}')
    warnings = Ended(Studio(), "hosts", "--json").document["result"]["warnings"]
    assert [warning.partition(":")[0] for warning in warnings] == ["lab", "lab"]
    assert "declare the same model, o/a" in warnings[0] and "name, jerry" in warnings[1]
    assert Ended(Studio(), "hosts").err.startswith("warning: lab: slots 8100 and 8101 declare")


def test_hosts_warns_of_a_runtime_that_does_not_exist(lab: Path) -> None:
    (lab / "hosts" / "lab.toml").write_text(f'{HOST_FILE}[runtime]\nname = "mlx-openai"\n')
    (warning,) = Ended(Studio(), "hosts", "--json").document["result"]["warnings"]
    assert "no runtime is called 'mlx-openai' (did you mean mlx-openai-server?)" in warning


def test_the_version_is_told_the_usual_way_too() -> None:
    assert Ended(Studio(), "--version").out == Ended(Studio(), "version").out
    assert Ended(Studio(), "--version").code == 0


def test_the_help_fits_on_one_screen_and_names_every_verb() -> None:
    lines = Ended(Studio(), "--help").out.splitlines()
    assert len(lines) < 24 and max(map(len, lines)) < 80
    assert sorted(VERBS) == sorted(
        verb for verb in VERBS if any(f"  {verb} " in one for one in lines)
    )


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_a_verb_is_narrow_and_explains_every_option(name: str) -> None:
    out = Ended(Studio(), name, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    command = root.get_command(root.make_context("mlxops", [name], resilient_parsing=True), name)
    assert command is not None
    assert [
        param.name
        for param in command.params
        if param.param_type_name == "option" and not param.help
    ] == []  # type: ignore[attr-defined]


def test_the_cron_line_leaves_nothing_to_the_environment(lab: Path) -> None:
    odd = lab / "odd %dir"
    odd.mkdir()
    (odd / "lab.toml").write_text(HOST_FILE)
    ended = Ended(Studio(), "cron", "--every", "10", "--hosts-dir", str(odd), "--local")
    assert ended.out.startswith("*/10 * * * * ")
    assert ended.out.endswith(
        "--host lab --hosts-dir '"
        + str(odd).replace("%", "\\%")
        + "' --local --cron reconcile -q --check\n"
    )
    assert "ssh agent" in ended.err
    assert Ended(Studio(), "cron", "-q", "--restart").out.endswith(
        " reconcile -q --check --restart\n"
    )
    quiet = Ended(Studio(), "cron", "-q", "--every", "1")
    assert f"--hosts-dir {lab}/hosts" in quiet.out
    assert (quiet.out[:10], quiet.err) == ("* * * * * ", "")


def test_the_cron_line_names_no_folder_that_nobody_named(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLXOPS_HOSTS_DIR")
    (lab / "home/.config/mlxops").mkdir(parents=True)
    (lab / "hosts").rename(lab / "home/.config/mlxops/hosts")
    assert Ended(Studio(), "cron", "-q", "--host", "lab").out.endswith(
        "mlxops --host lab --cron reconcile -q --check\n"
    )
    monkeypatch.chdir(lab / "home/.config/mlxops")
    named = Ended(Studio(), "cron", "-q", "--hosts-dir", "hosts").out
    assert f"--hosts-dir {lab}/home/.config/mlxops/hosts --cron reconcile" in named


def test_hosts_tells_what_is_hidden_and_why_one_is_in_use(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = lab / "home/.config/mlxops/hosts"
    own.mkdir(parents=True)
    (own / "lab.toml").write_text(HOST_FILE)
    named = Ended(Studio(), "hosts", "--json").document["result"]
    assert named["shadowed"] == [
        {"name": "lab", "path": str(own / "lab.toml"), "by": str(lab / "hosts/lab.toml")}
    ]
    assert [(row["source"], row["chosen_by"]) for row in named["hosts"]] == [
        ("MLXOPS_HOSTS_DIR", "the only host")
    ]
    monkeypatch.delenv("MLXOPS_HOSTS_DIR")
    told = Ended(Studio(), "hosts", "--host", "lab").out
    assert f"lab: {own}/lab.toml (in use: --host)" in told
    assert "ignored: ./hosts/lab.toml" in told


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_help_with_examples_that_parse(name: str) -> None:
    ended = Ended(Studio(), name, "--help")
    assert ended.code == 0
    assert "Examples:" in ended.out
    command = root.get_command(root.make_context("mlxops", [name], resilient_parsing=True), name)
    assert command is not None
    assert command.help
    for example in command.examples:  # type: ignore[attr-defined]
        assert f"mlxops {name}" in example or f"{name}" in example, example


def test_help_is_also_one_document() -> None:
    ended = Ended(Studio(), "load", "--help", "--json")
    assert ended.code == 0
    assert "Examples:" in ended.document["result"]["help"]
    assert (
        Ended(Studio(), "--help", "--json").document["result"]["help"].startswith("Usage: mlxops")
    )


def test_nothing_typed_is_answered_with_help() -> None:
    ended = Ended(Studio())
    assert (ended.code, ended.err) == (0, "")
    assert all(f"  {name} " in ended.out for name in VERBS)


def test_a_flag_is_documented_once_on_the_program_and_hidden_below() -> None:
    with pytest.raises(HelpRequested) as asked:
        root.make_context("mlxops", ["--help"])
    assert str(asked.value).count("--hosts-dir") == 1
    assert "--hosts-dir" not in Ended(Studio(), "list", "--help").out


def test_completion_covers_both_names() -> None:
    for shell in ("bash", "zsh", "fish"):
        script = Ended(Studio(), "completion", shell).out
        assert "_MLXOPS_COMPLETE" in script
        assert "_MLXCTL_COMPLETE" in script
