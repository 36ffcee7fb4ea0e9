"""Where the agent is kept on the host: what is trusted, what is refused, what is tidied away."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlxops import bundle
from mlxops.agent import stub
from tests.support.stubbed import Stubbed, agent, conversation

OTHER_USER = 65534


@pytest.fixture
def packed(tmp_path: Path) -> bundle.Bundle:
    return agent(tmp_path / "agent")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def refused(packed: bundle.Bundle, state: Path | str) -> str:
    """The stub's refusal, without running anything of what it found."""
    said = conversation(packed, state)
    assert "FAIL" in said[-2] and said[-1] in ("71", "72"), said
    return said[-2]


@pytest.mark.parametrize("level", ["state", "state/agent", "state/agent/HASH"])
def test_a_link_in_a_folder_s_place_is_refused(
    packed: bundle.Bundle, state: Path, tmp_path: Path, level: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    conversation(packed, elsewhere)
    target = tmp_path / level.replace("state", "elsewhere").replace("HASH", packed.digest)
    place = tmp_path / level.replace("HASH", packed.digest)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (tmp_path / "state").chmod(0o700) if place != state else None
    place.symlink_to(target)
    assert str(place) in refused(packed, state)


@pytest.mark.parametrize("level", ["", "agent", "agent/HASH"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_others_can_write_is_refused(packed: bundle.Bundle, state: Path, level: str, mode: int) -> None:
    conversation(packed, state)
    folder = state / level.replace("HASH", packed.digest)
    folder.chmod(mode)
    said = refused(packed, state)
    assert "can be written by others" in said and str(folder) in said


def test_a_folder_below_one_that_others_can_write_is_refused(packed: bundle.Bundle, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert str(open_to_all) in refused(packed, open_to_all / "state")
    open_to_all.chmod(0o1777)
    assert conversation(packed, open_to_all / "state")[-1] == "HELLO"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("level", ["", "agent", "agent/HASH"])
def test_another_user_s_folder_is_refused(packed: bundle.Bundle, state: Path, level: str) -> None:
    conversation(packed, state)
    folder = state / level.replace("HASH", packed.digest)
    os.chown(folder, OTHER_USER, OTHER_USER)
    assert f"{folder} belongs to user id {OTHER_USER}" in refused(packed, state)


def test_links_above_the_state_folder_are_followed(packed: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert conversation(packed, tmp_path / "link" / "state")[-1] == "HELLO"
    assert (tmp_path / "real" / "state" / "agent" / packed.digest).is_dir()


def test_a_folder_that_cannot_be_written_is_named(packed: bundle.Bundle) -> None:
    said = refused(packed, "/proc/mlxops")
    assert "/proc/mlxops" in said


def test_a_full_disk_is_told_and_leaves_nothing(packed: bundle.Bundle, state: Path) -> None:
    limited = ["/bin/sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$0" "$@"', *bundle.local_argv(None)]
    talk = Stubbed(packed, state, limited)
    assert talk.line() == "MARK MISS"
    talk.send(packed.delivery())
    said, status = talk.finish()
    assert "cannot write the agent" in said and str(state) in said and status == 72
    assert list((state / "agent").iterdir()) == []


def test_old_agents_go_but_not_those_used_today(packed: bundle.Bundle, state: Path, tmp_path: Path) -> None:
    agents = state / "agent"
    for age in range(6):
        folder = agents / f"{age:064x}"
        (folder / "agent").mkdir(parents=True)
        (folder / "agent" / "main.py").touch()
        when = time.time() - age * 20 * 3600
        os.utime(folder, (when, when))
    state.chmod(0o700)
    agents.chmod(0o700)
    conversation(packed, state)
    left = sorted(path.name for path in agents.iterdir() if path.name != packed.digest)
    assert left == [f"{age:064x}" for age in (0, 1)]


def test_faults_of_folders(tmp_path: Path) -> None:
    assert stub.fault(str(tmp_path), True) == ""
    (tmp_path / "file").touch()
    assert "is not a folder" in stub.fault(str(tmp_path / "file"), True)
    with pytest.raises(FileNotFoundError):
        stub.fault(str(tmp_path / "absent"), True)
