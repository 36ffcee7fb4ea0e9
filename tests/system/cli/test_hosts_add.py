"""`hosts add` against a real sshd: each step, the questions, and what is written."""

from __future__ import annotations

import json
import socket
import stat
import tomllib
from pathlib import Path

import pytest

from tests.support.newcomer import NAME, Newcomer
from tests.support.ports import free_range
from tests.support.sshd import Sshd, make_key
from tests.support.terminal import Terminal

pytestmark = pytest.mark.openssh
PROGRAM = "#!/bin/sh\n"
MLX_LM = {
    "mlx/bin/mlx_lm.server": PROGRAM,
    "mlx/lib/python3.12/site-packages/mlx_lm-0.31.2.dist-info/METADATA": "",
}
OPENAI = {".local/share/uv/tools/mlx-openai-server/bin/mlx-openai-server": PROGRAM}
CACHE = {".cache/huggingface/hub/models--org--one/refs/main": "x"}


@pytest.fixture
def newcomer(tmp_path: Path, openssh: Sshd) -> Newcomer:
    return Newcomer(tmp_path, openssh)


def test_a_host_is_added_without_a_terminal_if_its_fingerprint_is_given(newcomer: Newcomer) -> None:
    newcomer.install({**MLX_LM, **CACHE})
    added = newcomer.run("hosts", "add", NAME, "--fingerprint", newcomer.fingerprint())
    assert added.exit == 0, added
    steps = [line.split()[1] for line in added.stderr.splitlines() if line.startswith("ok")]
    assert steps[:5] == ["address", "network", "host", "login", "python"]
    assert steps[5:] == ["runtime", "models", "bind", "ports", "file"]
    host = tomllib.loads(newcomer.file.read_text())
    assert host == {
        "ssh": {"host": NAME},
        "studio": {"hf_home": "~/.cache/huggingface"},
        "runtime": {"name": "mlx_lm.server", "command": ["~/mlx/bin/mlx_lm.server"]},
    }
    assert "0.31.2 (~/mlx/bin/mlx_lm.server)" in added.stderr and ": 1 model," in added.stderr
    assert stat.S_IMODE(newcomer.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(newcomer.file.parent.stat().st_mode) == 0o700
    assert newcomer.known.read_text().count("\n") == 1
    status = newcomer.run("status", "--host", NAME, "--json")
    assert status.document["result"]["ports"], status


def test_an_unknown_key_is_refused_without_a_terminal(newcomer: Newcomer) -> None:
    for flags in ((), ("--yes",), ("--fingerprint", "SHA256:" + "x" * 43)):
        refused = newcomer.run("hosts", "add", NAME, *flags)
        assert refused.exit == 4 and newcomer.fingerprint() in refused.stderr, refused
    hint = newcomer.run("hosts", "add", NAME).stderr.rpartition("then: ")[2]
    assert hint == f"mlxops hosts add {NAME} --fingerprint {newcomer.fingerprint()}\n"
    assert not newcomer.known.exists() and not newcomer.file.exists()


def test_a_changed_key_is_refused_even_with_its_fingerprint(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    was = f"[127.0.0.1]:{newcomer.server.port} {other}"
    newcomer.known.write_text(was)
    refused = newcomer.run("hosts", "add", NAME, "--fingerprint", newcomer.fingerprint())
    assert refused.exit == 4 and "CHANGED" in refused.stderr
    assert newcomer.known.read_text() == was and not newcomer.file.exists()


def test_a_dry_run_prints_the_file_and_trusts_nothing(newcomer: Newcomer) -> None:
    words = ("hosts", "add", NAME, "--dry-run", "--fingerprint", newcomer.fingerprint())
    printed = newcomer.run(*words)
    assert printed.exit == 0 and tomllib.loads(printed.stdout)["ssh"] == {"host": NAME}
    assert not newcomer.known.exists() and not newcomer.file.parent.exists()
    document = newcomer.run(*words, "--json").document
    assert document["result"]["text"] == printed.stdout
    assert document["result"]["written"] is False


def test_the_questions_at_a_terminal(newcomer: Newcomer) -> None:
    newcomer.install({**MLX_LM, **OPENAI, **CACHE})
    wizard = Terminal(newcomer, "hosts", "add", NAME)
    wizard.until("Trust this key? [y/N]: ")
    assert newcomer.fingerprint() in wizard.shown and not newcomer.known.exists()
    wizard.type(b"y\n")
    wizard.until("1-2 [1]: ")
    number = 1 + ("2  mlx_lm" in wizard.shown)
    wizard.type(f"{number}\n".encode())
    wizard.until("On which address should servers listen?")
    wizard.type(b"x\n")
    wizard.until("Please type a number from 1 to 2.")
    wizard.type(b"2\n")
    assert wizard.end() == 0, wizard.shown
    host = tomllib.loads(newcomer.file.read_text())
    assert host["runtime"]["name"] == "mlx_lm.server"
    assert host["studio"]["bind"] not in ("127.0.0.1", "")
    assert "mlxops load MODEL 81" in wizard.shown


@pytest.mark.parametrize("answer", [b"n\n", b"\x03", b"\x04"])
def test_whoever_does_not_trust_the_key_writes_nothing(newcomer: Newcomer, answer: bytes) -> None:
    wizard = Terminal(newcomer, "hosts", "add", NAME)
    wizard.until("Trust this key? [y/N]: ")
    wizard.type(answer)
    assert wizard.end() in (1, 130)
    assert "no host file was written" in wizard.shown and "Traceback" not in wizard.shown
    assert not newcomer.known.exists() and not newcomer.file.exists()


def test_ctrl_c_at_a_later_question_writes_no_file(newcomer: Newcomer) -> None:
    newcomer.install({**MLX_LM, **OPENAI})
    newcomer.known.write_text(newcomer.server.known_line())
    wizard = Terminal(newcomer, "hosts", "add", NAME)
    wizard.until("1-2 [1]: ")
    wizard.press()
    assert wizard.process.returncode == 130 and not newcomer.file.parent.exists()


def test_a_file_is_replaced_only_by_force_and_wishes_are_written(newcomer: Newcomer) -> None:
    newcomer.known.write_text(newcomer.server.known_line())
    key = newcomer.server.client_key
    wishes = ("--identity", key, "--user", newcomer.server.user, "--bind", "0.0.0.0")
    more = ("--hf-home", "/models", "--ports", "9000-9003", "--runtime", "vllm")
    assert newcomer.run("hosts", "add", NAME, *wishes, *more).exit == 0
    before = newcomer.file.read_bytes()
    host = tomllib.loads(before.decode())
    assert host["ssh"] == {"host": NAME, "user": newcomer.server.user, "identity_file": str(key)}
    assert host["studio"] == {"hf_home": "/models", "ports": "9000-9003", "bind": "0.0.0.0"}
    assert host["runtime"] == {"name": "vllm"}
    again = newcomer.run("hosts", "add", NAME)
    assert again.exit == 2 and "--force" in again.stderr
    assert newcomer.file.read_bytes() == before
    assert newcomer.run("hosts", "add", NAME, "--force").exit == 0
    assert newcomer.file.read_bytes() != before


def test_a_refused_login_names_the_command_that_installs_this_key(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    newcomer.known.write_text(newcomer.server.known_line())
    newcomer.server.authorized_keys.write_text("")
    stranger = make_key(tmp_path / "stranger")
    words = ("hosts", "add", "other", f"{newcomer.server.user}@{NAME}", "--identity", stranger)
    refused = newcomer.run(*words)
    assert refused.exit == 4 and "ok       host key" in refused.stderr
    install = f"ssh-copy-id -i {stranger} {newcomer.server.user}@{NAME}"
    assert install in refused.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-x,y",), "no option -x"),
        (("a,b",), "cannot be the name of a host"),
        ((NAME, "--ports", "nonsense"), '--ports must look like "8100-8109"'),
        ((NAME, "--identity", "/dev/null/key"), "--identity /dev/null/key does not exist"),
        ((NAME, "--host", "other"), "leave out --host"),
    ],
)
def test_wrong_words_are_found_before_anything_is_called(
    newcomer: Newcomer, words: tuple[str, ...], text: str
) -> None:
    refused = newcomer.run("hosts", "add", *words, "--json")
    assert (refused.exit, refused.error["kind"]) == (2, "Usage")
    assert text in refused.error["message"]


def test_this_machine_is_a_host_too(newcomer: Newcomer) -> None:
    added = newcomer.run("hosts", "add", "here", "--local", "--json")
    assert added.exit == 0, added
    host = tomllib.loads(Path(added.result["path"]).read_text())
    assert host["transport"] == "local" and "ssh" not in host
    assert next(step["step"] for step in added.result["steps"]) == "python"
    assert json.loads(newcomer.run("list", "--host", "here", "--json").stdout)["host"] == "here"


def test_folders_of_models_that_are_there_are_written_into_the_file(newcomer: Newcomer) -> None:
    model = newcomer.home / ".lmstudio/models/pub/m"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"x")
    added = newcomer.run("hosts", "add", "here", "--local", "--json")
    host = tomllib.loads(Path(added.result["path"]).read_text())
    assert host["studio"]["model_dirs"] == ["~/.lmstudio/models"]
    step = next(one for one in added.result["steps"] if one["step"] == "more models")
    assert step["seen"] == "~/.lmstudio/models: 1 model"


def test_at_a_terminal_man_shows_the_manual_page(newcomer: Newcomer) -> None:
    reader = newcomer.home.parent / "tools" / "man"
    reader.write_text('#!/bin/sh\necho "man reads: $(head -n 1 "$1")"\n')
    reader.chmod(0o755)
    terminal = Terminal(newcomer, "man")
    assert terminal.end() == 0
    assert terminal.shown.startswith("man reads: .TH MLXOPS 1") and ".SH" not in terminal.shown
    assert newcomer.run("man").stdout.startswith(".TH MLXOPS 1")


def test_the_first_load_that_it_proposes_is_on_a_free_port(newcomer: Newcomer) -> None:
    port, other = free_range(2)
    with socket.create_server(("127.0.0.1", port)):
        words = ("--local", "--ports", f"{port}-{other}", "--json")
        result = newcomer.run("hosts", "add", "here", *words).result
    assert f"in use: {port}" in next(s["seen"] for s in result["steps"] if s["step"] == "ports")
    assert result["next"][-1].split()[-1] == str(other)


def test_the_default_host_is_chosen_by_name(newcomer: Newcomer) -> None:
    here = newcomer.run("hosts", "add", "here", "--local")
    kept = "studio stays the host in use; mlxops hosts use here changes that"
    assert here.exit == 0 and kept in here.stdout.splitlines()  # the file of the clone
    assert newcomer.run("hosts", "--json").result["note"] == ""
    there = newcomer.run("hosts", "add", "there", "--local", "--json").result
    assert there["kept_default"] is None and "mlxops hosts use there" in there["next"]
    unknown = newcomer.run("hosts", "use", "ther")
    assert unknown.exit == 2 and "did you mean there?" in unknown.stderr
    used = newcomer.run("hosts", "use", "there")
    assert (used.exit, used.stdout) == (0, "default host: there (was studio)\n")
    chosen = [
        row["name"] for row in newcomer.run("hosts", "--json").result["hosts"] if row["chosen"]
    ]
    assert chosen == ["there"]
    newcomer.env["MLXOPS_HOST"] = "here"
    unset = newcomer.run("hosts", "use", "-")
    assert unset.stdout == "default host: none (was there)\n"
    assert "MLXOPS_HOST is here, which takes precedence" in unset.stderr
    assert (
        newcomer.run("hosts", "use").exit == newcomer.run("hosts", "use", "x", "--unset").exit == 2
    )


def test_a_file_that_hides_another_says_so(newcomer: Newcomer) -> None:
    """In the clone, hosts/studio.toml is another file of this name."""
    added = newcomer.run("hosts", "add", "studio", "--local")
    assert added.exit == 0 and "it hides " in added.stdout, added
    rows = newcomer.run("doctor", "--host", "studio", "--json").document["result"]["checks"]
    (file,) = [row["seen"] for row in rows if row["check"] == "host file"]
    assert "; hides " in file and file.endswith("/hosts/studio.toml")
