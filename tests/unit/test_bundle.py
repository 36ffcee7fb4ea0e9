"""The bundle, the command lines and the stub, run by real shells and real interpreters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlxops import bundle
from mlxops.agent.errors import Usage
from mlxops.agent.wire import bootstrap, unpack
from mlxops.agent.wire.codec import frame
from tests.support.stubbed import Stubbed, agent, conversation


@pytest.fixture
def packed(tmp_path: Path) -> bundle.Bundle:
    return agent(tmp_path / "agent")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_first_a_miss_then_never_again(packed: bundle.Bundle, state: Path) -> None:
    assert conversation(packed, state) == ["MARK MISS", "MARK OK", "HELLO"]
    assert conversation(packed, state) == ["MARK OK", "HELLO"]
    folders = [state, state / "agent", state / "agent" / packed.digest]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700] * 3
    assert [path.name for path in (state / "agent").iterdir()] == [packed.digest]


def test_home_is_the_host_s(packed: bundle.Bundle, tmp_path: Path) -> None:
    talk = Stubbed(packed, "~/st ate", env={"HOME": str(tmp_path)})
    assert talk.line() == "MARK MISS"
    talk.send(packed.frames())
    assert talk.finish() == ("MARK OK\nHELLO", 0)
    assert (tmp_path / "st ate" / "agent" / packed.digest).is_dir()


def test_the_sources_arrive_as_they_are() -> None:
    """Their indentation travels as tabs, so no source may have a tab of its own."""
    packed = bundle.pack(bundle.AGENT)
    assert unpack.expand(packed.compressed()) == packed.text
    files = packed.files()
    assert {path.removeprefix("agent/"): source for path, source in files.items()} == {
        str(path.relative_to(bundle.AGENT)): path.read_bytes()
        for path in bundle.AGENT.rglob("*.py")
    }


def test_another_source_is_another_folder(
    packed: bundle.Bundle, state: Path, tmp_path: Path
) -> None:
    other = agent(tmp_path / "other", 'b"!"')
    assert other.digest != packed.digest
    conversation(packed, state)
    assert conversation(other, state) == ["MARK MISS", "MARK OK", "HELLO!"]
    assert conversation(packed, state) == ["MARK OK", "HELLO"]


def test_many_first_commands_at_once(packed: bundle.Bundle, state: Path) -> None:
    talks = [Stubbed(packed, state) for _ in range(6)]
    assert [talk.line() for talk in talks] == ["MARK MISS"] * 6
    for talk in talks:
        talk.send(packed.frames())
    assert [talk.finish() for talk in talks] == [("MARK OK\nHELLO", 0)] * 6
    assert [path.name for path in (state / "agent").iterdir()] == [packed.digest]


def test_a_damaged_bundle_is_refused(packed: bundle.Bundle, state: Path) -> None:
    for payload in (b"not zlib", bundle.pack(bundle.AGENT).frames().split(b"\n", 2)[2][-9:]):
        talk = Stubbed(packed, state)
        assert talk.line() == "MARK MISS"
        talk.send(frame((bundle.AGENT / "wire/unpack.py").read_bytes()) + frame(payload))
        said, status = talk.finish()
        assert "damaged" in said and status == 73
        assert not state.exists()


def test_another_agent_s_bundle_is_refused(
    packed: bundle.Bundle, state: Path, tmp_path: Path
) -> None:
    other = agent(tmp_path / "other", 'b"!"')
    talk = Stubbed(packed, state)
    talk.send(other.frames())
    said, status = talk.finish()
    assert "its hash is not" in said and status == 73
    assert not state.exists()


@pytest.mark.parametrize("source", ["import nothing_of_that_name\n", "def run(:\n"])
def test_an_agent_that_never_loads_is_told(state: Path, tmp_path: Path, source: str) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "__init__.py").touch()
    (broken / "main.py").write_text(source)
    said = conversation(bundle.pack(broken), state)
    assert said[0] == "MARK MISS"
    assert (
        "does not load" in said[-2]
        and ("nothing_of" in said[-2] or "SyntaxError" in said[-2])
        and said[-1] == "74"
    )


def test_children_of_the_agent_cannot_write_into_the_wire(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "__init__.py").touch()
    noisy = "    os.system('echo noise')\n    print('more', flush=True)\n    os._exit(0)\n"
    (folder / "main.py").write_text("import os\ndef run(r, i, fd):\n" + noisy)
    assert conversation(bundle.pack(folder), state) == ["MARK MISS", "MARK OK", "0"]


def old_pythons() -> list[str]:
    """Interpreters below 3.9 that this machine happens to have."""
    places = [Path.home() / ".pyenv/versions"]
    found = [
        path / "bin/python"
        for place in places
        if place.is_dir()
        for path in place.glob("3.[678].*")
    ]
    return [str(path) for path in found if path.exists()]


def fake_python(folder: Path, name: str, version: str) -> Path:
    """An interpreter that reports this version."""
    code = (
        f"import sys;sys.version_info=tuple(map(int,{version!r}.split('.')));"
        f"sys.executable={str(folder / name)!r}"
    )
    path = folder / name
    path.write_text(
        f"""#!/bin/sh
while [ "$1" != -c ]; do shift; done
shift; code=$1; shift
exec {sys.executable} -I -S -c "{code}
exec(sys.argv.pop(1))" "$code" "$@"
"""
    )
    path.chmod(0o755)
    return path


def test_too_old_an_interpreter_says_so(packed: bundle.Bundle, state: Path, tmp_path: Path) -> None:
    python = fake_python(tmp_path, "python3.7", "3.7.2")
    talk = Stubbed(packed, state, ["/bin/sh", "-c", bundle.launch_command(str(python))])
    assert talk.finish() == (f"MARK OLD 3.7.2 {python}", 70)


@pytest.mark.parametrize("python", old_pythons())
def test_really_old_interpreters_say_so(packed: bundle.Bundle, state: Path, python: str) -> None:
    talk = Stubbed(packed, state, bundle.local_argv(python))
    said, status = talk.finish()
    assert said.startswith("MARK OLD 3.") and status == 70


SHELLS = [shell for shell in ("sh", "bash", "zsh", "dash", "tcsh", "fish") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_finder_under_every_login_shell(packed: bundle.Bundle, state: Path, shell: str) -> None:
    talk = Stubbed(
        packed, state, [shell, "-c", bundle.launch_command(None)], env={"PATH": "/usr/bin:/bin"}
    )
    assert talk.line() == "MARK MISS"
    talk.send(packed.frames())
    assert talk.finish() == ("MARK OK\nHELLO", 0)


def newest(packed: bundle.Bundle, state: Path, path: str, *args: str) -> Stubbed:
    """The part of the finder that looks for python3.N."""
    return Stubbed(
        packed,
        state,
        ["/bin/sh", "-c", bootstrap.NEWEST_FINDER, bundle.LOADER, *args],
        env={"PATH": path},
    )


def test_newest_takes_the_highest_version_that_starts(
    packed: bundle.Bundle, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "python3.29"
    shim.write_text("#!/bin/sh\necho pyenv: command not found >&2\nexit 127\n")
    shim.chmod(0o755)
    old = fake_python(tmp_path / "bin", "python3.28", "3.5.0")
    talk = newest(packed, state, f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert talk.finish() == (f"MARK OLD 3.5.0 {old}", 70)


def test_too_old_a_first_choice_gives_its_place_to_a_newer(
    packed: bundle.Bundle, state: Path, tmp_path: Path
) -> None:
    first = fake_python(tmp_path, "python3", "3.8.10")
    (tmp_path / "python3.29").symlink_to(sys.executable)
    argv = [str(first), "-I", "-S", "-c", bundle.LOADER, bootstrap.NEWEST_FINDER, bundle.LOADER]
    talk = Stubbed(packed, state, argv, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert talk.line() == "MARK MISS"
    talk.send(packed.frames())
    assert talk.finish() == ("MARK OK\nHELLO", 0)


def test_nothing_newer_than_too_old_is_told(
    packed: bundle.Bundle, state: Path, tmp_path: Path
) -> None:
    only = fake_python(tmp_path, "python3", "3.8.10")
    without = bootstrap.NEWEST_FINDER.replace("/opt/homebrew/bin /usr/local/bin", "")
    argv = [str(only), "-I", "-S", "-c", bundle.LOADER, without, bundle.LOADER]
    talk = Stubbed(packed, state, argv, env={"PATH": str(tmp_path)})
    assert talk.finish() == (f"MARK OLD 3.8.10 {only}", 70)


def test_no_interpreter_at_all(packed: bundle.Bundle, tmp_path: Path) -> None:
    without = bootstrap.NEWEST_FINDER.replace("/opt/homebrew/bin /usr/local/bin", "")
    done = subprocess.run(
        ["/bin/sh", "-c", without, bundle.LOADER], env={"PATH": str(tmp_path)}, capture_output=True
    )
    assert done.returncode == 127
    assert b"no python3 found" in done.stderr


def test_commands_are_one_line_and_quote_the_host_file_s_python(tmp_path: Path) -> None:
    odd = tmp_path / "a 'b' $HOME;true"
    odd.mkdir()
    (odd / "python").symlink_to(sys.executable)
    assert "\n" not in bundle.launch_command(None) + bundle.launch_command("x")
    for python in (str(odd / "python"), "~/python"):
        argv = ["/bin/sh", "-c", bundle.launch_command(python)]
        done = subprocess.run(
            argv, input=frame(b"print(6*7)"), capture_output=True, env={"HOME": str(odd)}
        )
        assert done.stdout == b"42\n"


def test_state_dir_cannot_smuggle_a_line() -> None:
    for state_dir in ("a\nb", ""):
        with pytest.raises(Usage):
            bundle.pack().handshake("MARK", state_dir, b"")


def test_the_stub_loads_no_json_when_the_agent_is_there(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "main.py").write_text(
        "import os, sys\ndef run(r, i, fd):\n"
        "    heavy = {'json', 're', 'typing', 'hashlib', 'zlib', 'subprocess'}\n"
        "    os.write(fd, repr(sorted(heavy & set(sys.modules))).encode())\n    os._exit(0)\n"
    )
    packed = bundle.pack(folder)
    conversation(packed, state)
    assert conversation(packed, state) == ["MARK OK", "[]"]


def test_the_real_agent_is_whole_and_small() -> None:
    packed = bundle.pack()
    files = unpack.verified_files(_bundle_part(packed), packed.digest, _unexpected)
    assert {
        "agent/__init__.py",
        "agent/main.py",
        "agent/wire/codec.py",
        "agent/procs/__init__.py",
    } <= set(files)
    # For the hosts it is sent on to.
    assert {"agent/wire/stub.py", "agent/wire/unpack.py"} <= set(files)
    assert len((bundle.AGENT / "wire/stub.py").read_bytes()) < 8 << 10


def _bundle_part(packed: bundle.Bundle) -> bytes:
    rest = packed.frames()
    for _ in range(2):
        size, _, rest = rest.partition(b"\n")
        part, rest = rest[: int(size)], rest[int(size) :]
    return part


def _unexpected(status: int, text: str) -> Exception:
    return AssertionError(text)


def test_a_vanished_client_leaves_no_stub(packed: bundle.Bundle, state: Path) -> None:
    talk = Stubbed(packed, state)
    assert talk.line() == "MARK MISS"
    talk.stdin.close()
    assert talk.child.wait(10) != 0
    talk.stdout.close()
    assert talk.child.stderr is not None
    talk.child.stderr.close()
