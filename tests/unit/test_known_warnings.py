"""A warning that every load repeats is printed once per host, entry and text."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mlxops import client_state, known_warnings
from mlxops.known_warnings import FILE, KnownWarnings
from mlxops.render.progress import Progress


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_it_is_new_once_per_host_entry_and_text() -> None:
    assert KnownWarnings("studio").is_new("jade", "no parser")
    assert not KnownWarnings("studio").is_new("jade", "no parser")
    assert KnownWarnings("studio").is_new("jade", "no template")
    assert KnownWarnings("studio").is_new("amber", "no parser")
    assert KnownWarnings("mini").is_new("jade", "no parser")


@pytest.mark.parametrize("broken", [{}, [1, None], "text"])
def test_a_broken_file_only_repeats_it(broken: object) -> None:
    client_state.write_json(FILE, broken)
    assert KnownWarnings("studio").is_new("jade", "x")
    assert not KnownWarnings("studio").is_new("jade", "x")


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_warnings, "MAX_WARNINGS", 2)
    for text in "abc":
        assert KnownWarnings("studio").is_new("jade", text)
    assert not KnownWarnings("studio").is_new("jade", "c")
    assert KnownWarnings("studio").is_new("jade", "a")


def printed(quiet: bool = False, verbose: bool = False) -> str:
    stream = io.StringIO()
    progress = Progress(stream, False, quiet, verbose)
    progress.is_new = KnownWarnings("studio").is_new
    progress({"event": "warning", "message": "no parser", "lasting": "jade"})
    progress({"event": "warning", "message": "the disk is full"})
    progress.warn("no parser")  # the result repeats it
    return stream.getvalue()


def test_it_is_printed_once_and_again_for_the_verbose_and_never_quietly() -> None:
    full = "warning: the disk is full\n"
    assert printed(quiet=True) == full
    assert printed() == "warning: no parser\n" + full
    assert printed() == full
    assert printed(verbose=True) == "warning: no parser\n" + full
