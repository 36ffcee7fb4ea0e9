"""A command typed in another user's folder runs nothing from that folder and connects to no host
that it names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.studio import ROOT

OWN = """
transport = "local"
[studio]
hf_home = "{home}/hf"
state_dir = "{home}/state"
"""
THEIRS = """
transport = "local"
[studio]
hf_home = "/nowhere"
state_dir = "{folder}/state"
python = "{python}"
"""
EVERY_VERB = ("status", "doctor", "reconcile", "hosts", "cron -q")


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A folder with a host file and a program that leaves a trace."""
    folder = tmp_path / "evil"
    (folder / "hosts").mkdir(parents=True)
    program = folder / "hosts" / "own.sh"
    program.write_text(f"#!/bin/sh\ntouch {folder}/RAN\n")
    program.chmod(0o755)
    (folder / "python3").symlink_to(program)
    (folder / "mlx-openai-server").symlink_to(program)
    return folder


def mlxops(folder: Path, home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLXOPS")}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **env}
    argv = [sys.executable, "-P", "-m", "mlxops", *words]
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def settled(home: Path) -> None:
    own = home / ".config/mlxops/hosts"
    own.mkdir(parents=True)
    (own / "studio.toml").write_text(OWN.format(home=home))


@pytest.mark.parametrize("words", EVERY_VERB)
def test_no_verb_runs_a_program_of_the_current_folder(
    evil: Path, tmp_path: Path, words: str
) -> None:
    settled(tmp_path / "home")
    text = THEIRS.format(folder=evil, python=evil / "hosts/own.sh")
    (evil / "hosts" / "studio.toml").write_text(text)
    told = mlxops(evil, tmp_path / "home", "--host", "studio", *words.split())
    assert not (evil / "RAN").exists()
    assert not (evil / "state").exists()
    if "cron" in words:
        assert "--hosts-dir" not in told.stdout


@pytest.mark.parametrize("path", [":", "./x:.:", "."])
def test_a_path_that_means_the_current_folder_finds_nothing_there(
    evil: Path, tmp_path: Path, path: str
) -> None:
    """Neither the agent's interpreter nor a runtime."""
    home = tmp_path / "home"
    settled(home)
    file = home / ".config/mlxops/hosts/studio.toml"
    file.write_text(file.read_text() + 'python = "python3"\n')
    rest = os.environ["PATH"] if path.endswith(":") else ""
    mlxops(evil, home, "--host", "studio", "status", PATH=path + rest)
    mlxops(
        evil, home, "--host", "studio", "load", "tiny/amber", "8100", "--dry-run", PATH=path + rest
    )
    assert not (evil / "RAN").exists()


def test_an_installed_copy_does_not_take_the_hosts_beside_it(evil: Path, tmp_path: Path) -> None:
    """site-packages may contain a `hosts` folder of any package."""
    (evil / "hosts" / "studio.toml").write_text(
        THEIRS.format(folder=evil, python=evil / "hosts/own.sh")
    )
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "mlxops").symlink_to(ROOT / "mlxops")
    told = mlxops(site, tmp_path / "home", "hosts", PYTHONPATH=str(site))
    assert str(ROOT / "hosts" / "studio.toml") in told.stdout  # the link leads into the checkout
    (site / "mlxops").unlink()
    subprocess.run(["cp", "-r", str(ROOT / "mlxops"), str(site / "mlxops")], check=True)
    (evil / "hosts").rename(site / "hosts")
    told = mlxops(site, tmp_path / "home", "status", PYTHONPATH=str(site))
    assert (told.returncode, "no host file in" in told.stderr) == (2, True)


def test_a_host_file_that_others_can_write_is_refused_by_every_verb(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settled(home)
    own = home / ".config/mlxops/hosts"
    assert mlxops(tmp_path, home, "--host", "studio", "lock").returncode == 0
    own.chmod(0o775)
    for words in EVERY_VERB:
        told = mlxops(tmp_path, home, "--host", "studio", *words.split())
        assert told.returncode == (1 if words == "hosts" else 2), (words, told)
        assert f"chmod go-w {own}" in told.stdout + told.stderr, words
