"""The program as a process: its imports, streams, signals, terminal and completion."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_standin import HOST_FILE

ROOT = Path(__file__).parents[3]
HEAVY = ("fabric", "paramiko", "invoke", "tabulate", "huggingface_hub", "mlxops.session")
PROMPTED = """
import sys
from tests.support.cli_standin import Studio
from mlxops.agent.errors import PortBusy
from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.run import Run
done = {"port": 8100, "entry": "new", "state": "ready", "changed": True, "duration_s": 1.0}
studio = Studio(PortBusy("8100 serves old", occupant="old"), done)
sys.exit(main(["load", "new", "8100"], Run(Console.standard(), studio)))
"""


@pytest.fixture
def lab(tmp_path: Path) -> dict[str, str]:
    """An environment in which one host file is found."""
    (tmp_path / "lab.toml").write_text(
        HOST_FILE.replace("[studio]", 'transport = "local"\n[studio]')
    )
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLXOPS")}
    return {**kept, "HOME": str(tmp_path), "MLXOPS_HOSTS_DIR": str(tmp_path), "PYTHONPATH": path}


def mlxops(lab: dict[str, str], *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mlxops", *argv]
    return subprocess.run(words, env=lab, text=True, timeout=60, **{"capture_output": True, **more})


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--help"],
        ["load", "--help"],
        ["version"],
        ["completion", "zsh"],
        ["load"],
        ["nonsense", "--json"],
        ["status", "1", "--json"],
        ["cron"],
    ],
)
def test_what_needs_no_host_imports_click_only(lab: dict[str, str], argv: list[str]) -> None:
    script = (
        "import sys; from mlxops.cli import main; main(sys.argv[1:]); print(*sys.modules, "
        "file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *argv], env=lab, text=True, capture_output=True, timeout=60
    )
    loaded = ended.stderr.split()
    assert "click" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    ("flags", "ready"), [([], "tabulate"), (["--json"], "mlxops.render.json_document")]
)
def test_what_shows_the_answer_is_imported_while_the_host_works(
    lab: dict[str, str], flags: list[str], ready: str
) -> None:
    script = """
import sys
from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.run import Run
def call(host, verb, args, on_event, meanwhile):
    before = set(sys.modules)
    meanwhile()
    print(*sorted(set(sys.modules) - before), file=sys.stderr)
    return {"models": []}
main(["list", *sys.argv[1:]], Run(Console.standard(), call))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, *flags], env=lab, text=True, capture_output=True, timeout=60
    )
    assert ready in ended.stderr.split()
    assert ("tabulate" in ended.stderr.split()) == (not flags)


def test_a_document_is_all_there_is_on_stdout(lab: dict[str, str]) -> None:
    ended = mlxops(lab, "load", "--json")
    assert (ended.returncode, ended.stderr) == (2, "")
    assert json.loads(ended.stdout)["error"]["kind"] == "Usage"


def test_a_reader_that_leaves_is_no_error(lab: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = mlxops(lab, "hosts", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_an_answer_that_cannot_be_written_is_an_error(lab: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        ended = mlxops(lab, "hosts", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr.startswith("mlxops: cannot write the answer: ")
    assert len(ended.stderr.splitlines()) == 1


def test_closed_streams_do_no_harm(lab: dict[str, str]) -> None:
    script = f"exec {sys.executable} -m mlxops hosts <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", script], env=lab, timeout=60).returncode == 0


def test_what_a_narrow_encoding_lacks_is_escaped(lab: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "größe.toml").write_text(HOST_FILE)
    ended = mlxops({**lab, "PYTHONIOENCODING": "ascii"}, "hosts", "--host", "lab")
    assert ended.returncode == 0
    assert "gr\\xf6\\xdfe" in ended.stdout


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_ends_what_is_watched_without_a_word(
    lab: dict[str, str], tmp_path: Path, signum: signal.Signals, ignored: bool
) -> None:
    """`ignored`: Ctrl-C is ignored, as in a job that a shell started in the background."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "8100.log").write_text("a line\n")
    text = HOST_FILE.replace("[studio]", f'transport = "local"\n[studio]\nstate_dir = "{tmp_path}"')
    (tmp_path / "lab.toml").write_text(text)
    words = [sys.executable, "-m", "mlxops", "logs", "8100", "-f"]
    with subprocess.Popen(
        words,
        env=lab,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,
    ) as following:
        assert following.stdout
        assert following.stderr
        assert following.stdout.readline() == "a line\n"
        following.send_signal(signum)
        told = following.stderr.read()
    assert (following.returncode, told) == (130, "")


def on_a_terminal(lab: dict[str, str], words: list[str], typed: bytes) -> tuple[int, str, str]:
    """The exit status, the text on the terminal (stdin and stderr), and stdout."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words,
        env=lab,
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 1024)
    os.write(ours, typed)
    assert process.stdout
    with process.stdout:
        said = process.stdout.read()
    code = process.wait(timeout=60)
    os.close(ours)
    return code, shown.decode(), said


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (b"y\n", 0, "8100 serves new: ready after 1.0 s\n"),
        (b"n\n", 1, ""),
        (b"\n", 1, ""),
        (b"\x04", 130, ""),
        (b"\x03", 130, ""),
        (b"x\ny\n", 0, "8100 serves new: ready after 1.0 s\n"),
    ],
)
def test_at_a_terminal_a_person_is_asked_on_stderr(
    lab: dict[str, str], typed: bytes, code: int, said: str
) -> None:
    ended = on_a_terminal(lab, [sys.executable, "-c", PROMPTED], typed)
    assert (ended[0], ended[2]) == (code, said)
    assert "8100 serves old. Stop it and load new? [y/N]" in ended[1]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mlxops sta", ["status"]),
        ("mlxops --json unl", ["unload"]),
        ("mlxops stop je", ["jerry"]),
        ("mlxops unload je", ["jerry"]),
        ("mlxops status 8100 810", ["8100", "8101"]),
        ("mlxops load qwen --re", ["--replace", "--revision"]),
        ("mlxops --host l", ["lab"]),
        ("mlxops completion z", ["zsh"]),
    ],
)
def test_tab_completes_verbs_flags_hosts_and_ports(
    lab: dict[str, str], typed: str, offered: list[str]
) -> None:
    words = {
        "_MLXOPS_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    ended = mlxops({**lab, **words})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.partition(",")[2] for line in ended.stdout.splitlines()] == offered


@pytest.mark.parametrize("shell", ["bash", pytest.param("zsh", marks=pytest.mark.zsh)])
def test_the_completion_script_is_one_its_shell_accepts(lab: dict[str, str], shell: str) -> None:
    script = mlxops(lab, "completion", shell).stdout
    setup = "autoload -U compinit; compinit -D -u\n" if shell == "zsh" else ""
    check = (
        "\necho ${_comps[mlxops]} ${_comps[mlxctl]}"
        if shell == "zsh"
        else "\ncomplete -p mlxops mlxctl"
    )
    ended = subprocess.run(
        [shell, "-c", setup + script + check], env=lab, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_mlxops_completion" in ended.stdout
    assert "_mlxctl_completion" in ended.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["load", "a", "8100", "--timeout", "nan"],
        ["unload", "8100", "--grace", "1e400"],
        ["unload", "8100", "--grace", "nan"],
        ["verify", "--timeout", "inf"],
    ],
)
def test_a_time_without_a_bound_is_refused(lab: dict[str, str], words: list[str]) -> None:
    done = mlxops(lab, "--json", *words)
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (2, "Usage"), done


LOST = """
import os, signal, sys, time
from mlxops import interrupts

class Ends:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

interrupts.listen()
try:
    with interrupts.raise_on(1):
        Ends()
        time.sleep(30)
except KeyboardInterrupt:
    sys.exit("told")
"""


def test_a_press_in_a_finalizer_is_not_lost(lab: dict[str, str]) -> None:
    """An exception raised there can only be printed; the command must still end as at any other
    moment."""
    ended = subprocess.run(
        [sys.executable, "-c", LOST], env=lab, text=True, capture_output=True, timeout=20
    )
    assert (ended.returncode, ended.stderr) == (1, "told\n")
