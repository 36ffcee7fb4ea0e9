"""Which host file is used: the folders, their order, the ways to choose one; the current folder is
never searched."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mlxops.agent.errors import Usage
from mlxops.hosts import files as hosts
from mlxops.hosts import folders as hostfolders

LEAST = '[studio]\nhf_home = "/models"\n'


def written(folder: Path, name: str = "lab") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(LEAST)
    return path


@pytest.fixture(autouse=True)
def nobody_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, checkout and current folder, and no variable that names a host."""
    for name in ("MLXOPS_HOST", "MLXOPS_HOSTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "checkout" / "hosts").mkdir(parents=True)
    monkeypatch.setattr(hostfolders, "checkout_hosts", lambda: tmp_path / "checkout" / "hosts")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "home/.config/mlxops/hosts"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return tmp_path / "checkout/hosts"


def configured(own: Path, text: str) -> Path:
    own.mkdir(parents=True, exist_ok=True)
    path = own.parent / "config.toml"
    path.write_text(text)
    return path


def test_the_only_host_there_is_needs_no_name(own: Path) -> None:
    written(own)
    assert hosts.find_host(None, None).name == "lab"


def test_a_host_file_of_the_current_folder_is_never_read(own: Path) -> None:
    theirs = written(Path("hosts"), "studio")
    with pytest.raises(Usage) as caught:
        hosts.find_host("studio", None)
    assert caught.value.hint == "./hosts is no longer searched; to use it: mlxops --hosts-dir hosts"
    mine = written(own, "studio")
    assert hosts.find_host(None, None).path == mine
    assert hosts.find_host(None, "hosts").path == theirs.absolute()


@pytest.mark.parametrize("home", ["", ".", "home"])
def test_a_home_that_is_no_absolute_path_does_not_make_it_the_current_folder(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(Path(".config/mlxops/hosts"), "studio")
    written(Path("home/.config/mlxops/hosts"), "studio")
    monkeypatch.setenv("HOME", home)
    assert hostfolders.home() == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_without_home_the_system_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    assert hostfolders.home() == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_the_users_own_folder_comes_before_the_checkout(own: Path, checkout: Path) -> None:
    theirs, mine = written(checkout), written(own)
    written(checkout, "other")
    assert hosts.find_host("lab", None).path == mine
    assert list(hosts.available(None)) == ["lab", "other"]
    mine.unlink()
    assert hosts.find_host("lab", None).path == theirs


def made(top: Path, project: str | None = '[project]\nname = "mlxops"\n') -> Path:
    """A package below `top`, with a hosts/ beside it."""
    (top / "mlxops").mkdir(parents=True)
    (top / "hosts").mkdir()
    if project is not None:
        (top / "pyproject.toml").write_text(project)
    return top / "mlxops"


def test_a_checkout_is_known_by_its_project_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    found = hostfolders.checkout_hosts
    assert found(made(tmp_path / "clone")) == tmp_path / "clone" / "hosts"
    assert found(made(tmp_path / "lib/site-packages")) is None
    assert found(made(tmp_path / "bare", None)) is None
    assert found(made(tmp_path / "other", '[project]\nname = "other"\n')) is None
    assert found() == Path(hosts.__file__).resolve().parents[2] / "hosts"


def test_several_hosts_and_none_chosen_is_refused(own: Path, checkout: Path) -> None:
    written(checkout, "two")
    written(own, "one")
    with pytest.raises(Usage) as caught:
        hosts.find_host(None, None)
    assert caught.value.fields["known"] == ["one", "two"]


def test_who_chooses_counts_in_this_order(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flag", "variable", "configured"):
        written(own, name)
    config = configured(own, 'host = "configured"\n')
    assert (hosts.find_host(None, None).name, hosts.choose_host(None, None).source) == (
        "configured",
        str(config),
    )
    monkeypatch.setenv("MLXOPS_HOST", "variable")
    assert (hosts.find_host(None, None).name, hosts.choose_host(None, None).source) == (
        "variable",
        "MLXOPS_HOST",
    )
    assert (hosts.find_host("flag", None).name, hosts.choose_host("flag", None).source) == (
        "flag",
        "--host",
    )


def test_a_host_that_is_not_there_tells_who_asked_for_it(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(own)
    monkeypatch.setenv("MLXOPS_HOST", "gone")
    with pytest.raises(Usage, match=r"no host 'gone' \(from MLXOPS_HOST\)"):
        hosts.find_host(None, None)
    with pytest.raises(Usage) as caught:
        hosts.find_host("la", None)
    assert caught.value.hint == "did you mean lab?"
    (own / "lab.toml").write_bytes(b"\xff")
    with pytest.raises(Usage, match="is not UTF-8 text"):
        hosts.find_host("lab", None)


def test_an_unknown_key_of_the_config_is_refused(own: Path) -> None:
    written(own)
    configured(own, 'hots = "lab"\n')
    with pytest.raises(Usage, match="hots"):
        hosts.find_host(None, None)


def test_a_folder_that_was_named_is_the_only_one(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(own, "near")
    written(tmp_path / "variable", "far")
    written(tmp_path / "flag", "farthest")
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", str(tmp_path / "variable"))
    assert list(hosts.available(None)) == ["far"]
    assert list(hosts.available(str(tmp_path / "flag"))) == ["farthest"]
    assert hosts.find_host("far", None).named_folder == tmp_path / "variable"
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", "")
    assert list(hosts.available(None)) == ["near"]
    assert hosts.find_host(None, None).named_folder is None


@pytest.mark.parametrize("said", ["hosts", ".", "../hosts"])
def test_the_variable_names_no_folder_by_where_one_stands(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(Path("hosts"))
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", said)
    with pytest.raises(Usage, match="must be an absolute path"):
        hosts.find_host(None, None)


def test_an_empty_flag_is_refused() -> None:
    with pytest.raises(Usage, match="is empty"):
        hosts.find_host(None, "")


def test_no_host_file_at_all_says_what_to_do(own: Path) -> None:
    with pytest.raises(Usage) as caught:
        hosts.find_host(None, None)
    assert caught.value.hint.startswith("mlxops hosts add NAME")
    assert str(own) in caught.value.message


@pytest.mark.parametrize(("made", "gone"), [(False, ", which does not exist"), (True, "")])
def test_a_named_folder_without_a_host_file(tmp_path: Path, made: bool, gone: str) -> None:
    folder = tmp_path / "named"
    if made:
        folder.mkdir()
    with pytest.raises(Usage) as caught:
        hosts.find_host(None, str(folder))
    assert caught.value.message == f"no host file in {folder}{gone}"
    assert caught.value.hint == "the usual folders: mlxops hosts"


def test_a_variable_that_names_no_host_file_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLXOPS_HOSTS_DIR", str(tmp_path / "named"))
    with pytest.raises(Usage) as caught:
        hosts.find_host(None, None)
    assert caught.value.hint == "the usual folders: env -u MLXOPS_HOSTS_DIR mlxops hosts"
