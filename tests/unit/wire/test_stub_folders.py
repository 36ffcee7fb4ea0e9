"""Where the agent is stored on the host: what is trusted, refused and removed."""

from __future__ import annotations

import marshal
import os
import shutil
import time
from pathlib import Path

import pytest

from mlxops import bundle
from mlxops.agent.wire import stub
from tests.support.stubbed import Stubbed, agent, conversation

OTHER_USER = 65534


WHY = '(" | %s | %s" % (__loader__.distrust, __loader__.unkept)).encode()'


@pytest.fixture
def packed(tmp_path: Path) -> bundle.Bundle:
    """An agent that reports why its state folder is not used."""
    return agent(tmp_path / "agent", WHY)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def unkept(packed: bundle.Bundle, state: Path | str) -> tuple[str, str]:
    """What the agent reports; it came from the client, and ran."""
    said = conversation(packed, state)
    assert said[:2] == ["MARK MISS", "MARK OK"] and said[2].startswith("HELLO"), said
    _, distrust, why = said[2].split(" |")
    return distrust.strip(), why.strip()


def evil(folder: Path) -> None:
    """Another user's code in place of the agent, in every form that it ever had."""
    (folder / "agent").mkdir(parents=True, exist_ok=True)
    (folder / "agent" / "main.py").write_text(
        "def run(r, i, fd):\n    import os\n    os.write(fd, b'EVIL')\n"
    )
    modules = {
        "agent/__init__.py": b"",
        "agent/main.py": (folder / "agent" / "main.py").read_bytes(),
    }
    codes = {path: marshal.dumps(compile(source, path, "exec")) for path, source in modules.items()}
    (folder / stub.IMAGE).write_bytes(stub.seal(folder.name, codes, b""))


@pytest.mark.parametrize("level", ["state", "state/agent", "state/agent/HASH"])
def test_a_link_in_a_folder_s_place_is_refused(
    packed: bundle.Bundle, state: Path, tmp_path: Path, level: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    conversation(packed, elsewhere)
    evil(elsewhere / "agent" / packed.digest)
    target = tmp_path / level.replace("state", "elsewhere").replace("HASH", packed.digest)
    place = tmp_path / level.replace("HASH", packed.digest)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (tmp_path / "state").chmod(0o700) if place != state else None
    place.symlink_to(target)
    distrust, why = unkept(packed, state)
    assert str(place) in why and bool(distrust) == (level == "state")


@pytest.mark.parametrize("level", ["", "agent", "agent/HASH"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_others_can_write_is_refused(
    packed: bundle.Bundle, state: Path, level: str, mode: int
) -> None:
    conversation(packed, state)
    evil(state / "agent" / packed.digest)
    folder = state / level.replace("HASH", packed.digest)
    folder.chmod(mode)
    distrust, why = unkept(packed, state)
    assert "can be written by others" in why and str(folder) in why and distrust in ("", why)
    assert bool(distrust) == (level == "")


def test_a_folder_below_one_that_others_can_write_is_refused(
    packed: bundle.Bundle, tmp_path: Path
) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert str(open_to_all) in unkept(packed, open_to_all / "state")[0]
    assert not (open_to_all / "state").exists()
    open_to_all.chmod(0o1777)
    assert unkept(packed, open_to_all / "state") == ("", "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("level", ["", "agent", "agent/HASH"])
def test_another_user_s_folder_is_refused(packed: bundle.Bundle, state: Path, level: str) -> None:
    conversation(packed, state)
    evil(state / "agent" / packed.digest)
    folder = state / level.replace("HASH", packed.digest)
    os.chown(folder, OTHER_USER, OTHER_USER)
    assert f"{folder} belongs to user id {OTHER_USER}" in unkept(packed, state)[1]


def test_links_above_the_state_folder_are_followed(packed: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert unkept(packed, tmp_path / "link" / "state") == ("", "")
    assert (tmp_path / "real" / "state" / "agent" / packed.digest).is_dir()


def test_a_folder_that_cannot_be_written_is_named(packed: bundle.Bundle) -> None:
    distrust, why = unkept(packed, "/proc/mlxops")
    assert not distrust and "cannot write to /proc/mlxops/agent" in why


def test_a_full_disk_is_told_and_leaves_nothing(packed: bundle.Bundle, state: Path) -> None:
    limited = [
        "/bin/sh",
        "-c",
        'ulimit -f 0; trap "" XFSZ; exec "$0" "$@"',
        *bundle.local_argv(None),
    ]
    for _ in range(2):
        talk = Stubbed(packed, state, limited)
        assert talk.line() == "MARK MISS"
        talk.send(packed.frames())
        said, status = talk.finish()
        assert (
            said.startswith("MARK OK\nHELLO")
            and f"cannot write to {state}/agent: File too large" in said
        )
        assert [
            path for path in (state / "agent").rglob("*") if path.is_file()
        ] == [] and status == 0
    assert unkept(packed, state) == ("", "")
    assert conversation(packed, state)[0] == "MARK OK"


def old(state: Path, *ages_h: float) -> list[Path]:
    """Agents last used so many hours ago; negative if the clock was ahead."""
    folders = [state / "agent" / f"{number:064x}" for number in range(len(ages_h))]
    for age, folder in zip(ages_h, folders, strict=True):
        (folder / "agent").mkdir(parents=True)
        (folder / "agent" / "main.py").touch()
        when = time.time() - age * 3600
        os.utime(folder, (when, when))
    state.chmod(0o700)
    (state / "agent").chmod(0o700)
    return folders


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        ((0, 1, 2, 3, 4), (0, 1)),
        ((100, 99, 98), (1, 2)),
        ((-90000, 1, 2), (1, 2)),
        ((-3, -90000, 5), (0, 2)),
    ],
)
def test_three_agents_are_kept_whatever_the_clock_said(
    packed: bundle.Bundle, state: Path, ages: tuple[float, ...], left: tuple[int, ...]
) -> None:
    folders = old(state, *ages)
    conversation(packed, state)
    there = {path for path in (state / "agent").iterdir() if path.name != packed.digest}
    assert there == {folders[number] for number in left}


def test_an_agent_that_is_used_stays_and_one_that_runs_needs_no_file(
    state: Path, tmp_path: Path
) -> None:
    """The agent imports a module after its folder was removed."""
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "late.py").write_text("SAID = b'LATE'\n")
    (folder / "main.py").write_text(
        "import os\ndef run(r, i, fd):\n    os.write(fd, b'READY\\n')\n    i.readline()\n"
        "    from agent import late\n    os.write(fd, late.SAID)\n    os._exit(0)\n"
    )
    running = bundle.pack(folder)
    conversation(running, state)
    talk = Stubbed(running, state)
    assert [talk.line(), talk.line()] == ["MARK OK", "READY"]
    shutil.rmtree(state)
    talk.send(b"\n")
    assert talk.finish() == ("LATE", 0)


def test_faults_of_folders(tmp_path: Path) -> None:
    assert stub.folder_fault(str(tmp_path), True) == ""
    (tmp_path / "file").touch()
    assert "is not a folder" in stub.folder_fault(str(tmp_path / "file"), True)
    with pytest.raises(FileNotFoundError):
        stub.folder_fault(str(tmp_path / "absent"), True)
